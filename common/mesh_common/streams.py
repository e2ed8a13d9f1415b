"""The standard streams of a command, which may be missing, closed at the other end, full, or of another encoding.

What cannot be said changes nothing about what was done: the exit status tells of the work, not of the words.
"""

from __future__ import annotations

import io
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO


def prepare(*, utf8: bool = False) -> None:
    """Make stdout and stderr usable whatever they are; with `utf8`, stdout is UTF-8 under any locale.

    A letter that a stream's encoding lacks is written as an escape.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by whoever started us; the first file that we open must not take its place
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, PTH123 - for the process's life
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
