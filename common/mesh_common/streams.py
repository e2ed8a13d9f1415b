"""The standard streams of a command, which may be missing, closed at the other end, full, or of another encoding.

What cannot be said changes nothing about what was done: the exit status tells of the work, not of the words. Where the
words are the work (a list, behind `>`, on a full disk), `unsaid` says that they are lost.
"""

from __future__ import annotations

import contextlib
import io
import os
import select
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TextIO

_STANDARD = (0, 1, 2)
"""What every program inherits as stdin, stdout and stderr."""


def prepare(*, utf8: bool = False) -> None:
    """Make the standard streams usable whatever they are; with `utf8`, stdout is UTF-8 under any locale.

    A letter that a stream's encoding lacks is written as an escape. One that whoever started us has closed leads
    nowhere from here on, also in programs that we start: neither a file of ours nor a socket may take its number.
    """
    for descriptor in _STANDARD:
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest number that is free, which is this
    if sys.stdin is None:
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115, PTH123 - for the process's life
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, PTH123
        elif isinstance(stream, io.TextIOWrapper):
            encoding = "utf-8" if utf8 and name == "stdout" else stream.encoding
            stream.reconfigure(encoding=encoding, errors="backslashreplace")


def put(text: str, stream: TextIO, *, end: str = "\n") -> None:
    """Write a line; what a closed pipe or a full disk does not take is dropped, with all that follows it."""
    try:
        print(text, end=end, file=stream, flush=True)
    except OSError:
        _silence(stream)


def _silence(stream: TextIO) -> None:
    """Nothing more is said there, and the interpreter's last flush finds nobody to complain to."""
    with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - a device
        try:
            os.dup2(nowhere.fileno(), stream.fileno())
        except OSError:
            return


# ── for programs whose libraries print, too ──────────────────────────────────────────────────────────────────────────


class Outlet(io.FileIO):
    """A descriptor that takes every word; those after the first failure are dropped."""

    lost: OSError | None = None
    """Why words were dropped, once they were."""

    def write(self, data: Any) -> int:
        """Never raises for what the other end does."""
        if self.lost is None:
            try:
                return super().write(data) or 0
            except OSError as error:
                self.lost = error
        return memoryview(data).nbytes


class Words:
    """What becomes of this command's words on stdout and stderr."""

    def __init__(self) -> None:
        self._outlets: dict[str, Outlet] = {}
        self._replaced: list[TextIO] = []  # kept, for they own the descriptors
        self._work_done = False

    def catch(self) -> None:
        """From here on nothing that is written to stdout or stderr raises, whoever writes it."""
        self._outlets.clear()
        self._work_done = False
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            with contextlib.suppress(OSError, AttributeError):  # what has no descriptor does not fail
                outlet = Outlet(stream.fileno(), "w", closefd=False)
                self._outlets[name] = outlet
                caught = io.TextIOWrapper(
                    io.BufferedWriter(outlet),
                    encoding=stream.encoding,
                    errors=stream.errors,
                    line_buffering=name == "stderr" or outlet.isatty(),
                )
                stream.flush()
                self._replaced.append(stream)
                setattr(sys, name, caught)

    def work_is_done(self) -> None:
        """Whatever becomes of the words that follow, this command did what it was asked for."""
        self._work_done = True

    def say(self, text: str) -> None:
        """Write to stdout past its buffer: a write that blocks in a thread of its own then blocks no other writer."""
        outlet = self._outlets.get("stdout")
        if outlet is None:
            sys.stdout.write(text)
            sys.stdout.flush()
            return
        rest = memoryview(text.encode(sys.stdout.encoding, sys.stdout.errors or "strict"))
        while rest:
            written = outlet.write(rest)
            rest = rest[written:]
            if not written:  # a descriptor that does not block, and is full
                select.select([], [outlet], [])

    def gone(self) -> bool:
        """Nobody takes what stdout says any more."""
        return "stdout" in self._outlets and self._outlets["stdout"].lost is not None

    def unsaid(self) -> OSError | None:
        """Why stdout's words are lost, where that matters: nobody left on purpose, and the words are the work."""
        sys.stdout.flush()
        outlet = self._outlets.get("stdout")
        if outlet is None or outlet.lost is None or self._work_done or isinstance(outlet.lost, BrokenPipeError):
            return None
        return outlet.lost


words = Words()
"""Of this process."""
