"""Programs of the system, run to their end with a bound on their time and on what is kept of their words."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from typing import IO, TYPE_CHECKING, Final

from mesh_common.programs import signal_group
from mesh_common.readable import readable
from mesh_common.values import Value

if TYPE_CHECKING:
    from collections.abc import Sequence

KEPT_BYTES: Final = 4 << 20
"""Of each stream, its end: what a program prints of a configuration of thousands of sites."""


class ToolError(Exception):
    """The system did not run the program; the text is for a person."""


class ToolMissing(ToolError):
    """It is not on this machine."""


class ToolTooLate(ToolError):
    """It had not ended within its time, and was killed with all that it had started."""


class Ended(Value, frozen=True):
    """How a program ended, and what it said, without the white space around."""

    status: int
    out: str = ""
    errors: str = ""
    """Empty where both streams were asked for as one."""


def run_tool(words: Sequence[str], limit_s: float, *, as_one: bool = False) -> Ended:
    """Run a program of the system with nothing to read. `as_one`: both streams in their order, as `out`.

    What it leaves running behind itself goes on. Raises `ToolError`.
    """
    program = shutil.which(words[0])
    if program is None:
        raise ToolMissing(f"{words[0]} is not on this machine")
    try:
        # Files, because what stays behind keeps the other end of a pipe open.
        with _scratch() as out, _scratch() as errors:
            with subprocess.Popen(
                [program, *words[1:]],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out if as_one else errors,
                start_new_session=True,
            ) as process:
                status = _ended(process, words, limit_s)
            return Ended(status, _text(out), _text(errors))
    except OSError as error:
        raise ToolError(f"{program}: {error.strerror or error}") from error


def _ended(process: subprocess.Popen[bytes], words: Sequence[str], limit_s: float) -> int:
    try:
        return process.wait(limit_s)
    except subprocess.TimeoutExpired as error:
        raise ToolTooLate(f"`{' '.join(words)}` has not ended within {limit_s:.0f} s") from error
    finally:
        if process.returncode is None:  # late, or a person's Ctrl-C: nothing of it works on behind our back
            signal_group(process, signal.SIGKILL)


def _scratch() -> IO[bytes]:
    if sys.platform == "linux":  # a full disk is told by what it hinders
        return os.fdopen(os.memfd_create("said"), "w+b")
    return tempfile.TemporaryFile()


def _text(said: IO[bytes]) -> str:
    said.seek(max(0, said.seek(0, os.SEEK_END) - KEPT_BYTES))
    return readable(said.read().decode("utf-8", "replace").strip())
