"""The border of a command: whatever ends it becomes an exit status and a sentence, or an object with `--json`."""

from __future__ import annotations

import contextlib
import signal
from pathlib import Path

from mesh_bundler.errors import Refused
from mesh_bundler.files import file_refusal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType
    from typing import Any

    from mesh_bundler.report import Console

_ENDING: dict[signal.Signals, Any] = {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGTERM: signal.SIG_DFL,
    signal.SIGHUP: signal.SIG_DFL,
}
"""Signals that end a command, and the handler of one that nobody has changed (nohup ignores SIGHUP)."""


class Ended(BaseException):
    """A signal wants this process to end; what is under way cleans up first.

    No KeyboardInterrupt: the command line's library makes its own exit of those.
    """

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


def guarded(console: Console, command: Callable[[], int]) -> int:
    """Run a command; returns its exit status. Bugs stay tracebacks."""
    try:
        with _endings_raised():
            return command()
    except Refused as refused:
        return console.refused(refused)
    except Ended as ended:
        return console.interrupted(128 + ended.number)
    except OSError as error:  # of a file that nobody expected to fail
        return console.refused(file_refusal(error, Path(error.filename or "A file")))


@contextlib.contextmanager
def _endings_raised() -> Iterator[None]:
    """Signals that would end this process at once raise `Ended` instead; what somebody else has set stays so."""
    changed = []
    try:
        for number, usual in _ENDING.items():
            if signal.getsignal(number) == usual:
                signal.signal(number, _end)
                changed.append(number)
    except ValueError:
        pass  # not the main thread: signals go elsewhere
    try:
        yield
    finally:
        for number in changed:
            signal.signal(number, _ENDING[number])


def _end(number: int, _frame: FrameType | None) -> None:
    raise Ended(number)
