"""Programs of the system that the installation of Caddy runs, each with a bound."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Final, Protocol

from mesh_common.tools import ToolError, ToolTooLate, run_tool

if TYPE_CHECKING:
    from mesh_common.tools import Ended

PATIENCE_S: Final = 60.0
"""For what asks or does a small thing."""
_WORDS_MAX: Final = 4096
"""Characters of what a program said that a person is shown; its end is where the reason stands."""


class CaddyError(Exception):
    """A step could not be done; the text is for a person."""


class TimedOut(CaddyError):
    """A program had not ended within its time, and was killed."""


class Run(Protocol):
    """Runs programs. It finds them, too, so that a test says what is on the machine."""

    def __call__(self, *words: str, limit_s: float = PATIENCE_S) -> Ended:
        """What it said is `out`, both streams in their order. Raises `CaddyError` where it is missing, `TimedOut`."""

    def finds(self, program: str) -> str | None:
        """Where it lies."""


class Programs:
    """The programs of this machine."""

    def finds(self, program: str) -> str | None:
        """Where it lies."""
        return shutil.which(program)

    def __call__(self, *words: str, limit_s: float = PATIENCE_S) -> Ended:
        """Run one; `caddy start` leaves a Caddy behind. Raises `CaddyError`."""
        try:
            return run_tool(words, limit_s, as_one=True)
        except ToolTooLate as error:
            raise TimedOut(str(error)) from error
        except ToolError as error:
            raise CaddyError(str(error)) from error


def must(run: Run, *words: str, limit_s: float = PATIENCE_S) -> str:
    """Run a program and return what it said. Raises `CaddyError` with its words when it fails."""
    said = run(*words, limit_s=limit_s)
    if said.status:
        why = reason(said.out)[-_WORDS_MAX:]
        raise CaddyError(f"`{' '.join(words)}`: {why or f'ended with status {said.status}'}")
    return said.out


def reason(words: str) -> str:
    """The line of Caddy's that says what is wrong, else all of it: its log comes before it."""
    errors = [line for line in words.splitlines() if line.startswith("Error: ")]
    return errors[-1].removeprefix("Error: ") if errors else words
