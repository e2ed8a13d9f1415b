"""Programs of the system that the installation of Caddy runs, each with a bound."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from typing import IO, TYPE_CHECKING, Final, Protocol

from mesh_common.readable import readable
from mesh_common.values import Value

if TYPE_CHECKING:
    from collections.abc import Sequence

PATIENCE_S: Final = 60.0
"""For what asks or does a small thing."""
_WORDS_MAX: Final = 4096
"""Characters of what a program said that a person is shown; its end is where the reason stands."""


class CaddyError(Exception):
    """A step could not be done; the text is for a person."""


class TimedOut(CaddyError):
    """A program had not ended within its time, and was killed."""


class Said(Value, frozen=True):
    """How a program ended, and the end of what it said, both streams in their order."""

    status: int
    words: str = ""


class Run(Protocol):
    """Runs programs. It finds them, too, so that a test says what is on the machine."""

    def __call__(self, *words: str, limit_s: float = PATIENCE_S) -> Said:
        """Raises `CaddyError` where the program is missing, and `TimedOut`."""

    def finds(self, program: str) -> str | None:
        """Where it lies."""


class Programs:
    """The programs of this machine."""

    def finds(self, program: str) -> str | None:
        """Where it lies."""
        return shutil.which(program)

    def __call__(self, *words: str, limit_s: float = PATIENCE_S) -> Said:
        """Run one in a group of its own, which is killed with it when its time is over. Raises `CaddyError`."""
        program = self.finds(words[0])
        if program is None:
            raise CaddyError(f"{words[0]} is not on this machine")
        try:
            # A file, because what stays behind (`caddy start`) keeps the other end of a pipe open.
            with _scratch() as out:
                with subprocess.Popen(
                    [program, *words[1:]], stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
                ) as process:
                    status = _ended(process, words, limit_s)
                out.seek(max(0, out.seek(0, os.SEEK_END) - _WORDS_MAX))
                return Said(status, readable(out.read().decode("utf-8", "replace").strip()))
        except OSError as error:
            raise CaddyError(f"{program}: {error.strerror or error}") from error


def _scratch() -> IO[bytes]:
    if sys.platform == "linux":  # a full disk is told by what it hinders
        return os.fdopen(os.memfd_create("said"), "w+b")
    return tempfile.TemporaryFile()


def _ended(process: subprocess.Popen[bytes], words: Sequence[str], limit_s: float) -> int:
    try:
        return process.wait(limit_s)
    except subprocess.TimeoutExpired as error:
        raise TimedOut(f"`{' '.join(words)}` has not ended within {limit_s:.0f} s") from error
    finally:
        if process.returncode is None:  # late, or a person's Ctrl-C: nothing of it works on behind our back
            os.killpg(process.pid, signal.SIGKILL)


def must(run: Run, *words: str, limit_s: float = PATIENCE_S) -> str:
    """Run a program and return what it said. Raises `CaddyError` with its words when it fails."""
    said = run(*words, limit_s=limit_s)
    if said.status:
        raise CaddyError(f"`{' '.join(words)}`: {reason(said.words) or f'ended with status {said.status}'}")
    return said.words


def reason(words: str) -> str:
    """The line of Caddy's that says what is wrong, else all of it: its log comes before it."""
    errors = [line for line in words.splitlines() if line.startswith("Error: ")]
    return errors[-1].removeprefix("Error: ") if errors else words
