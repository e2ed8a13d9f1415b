"""Signals that end a command, as an exception that everything under way cleans up after."""

from __future__ import annotations

import contextlib
import signal

from mesh_bundler.guard import Ended

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType
    from typing import Any

_ENDING: dict[signal.Signals, Any] = {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGTERM: signal.SIG_DFL,
    signal.SIGHUP: signal.SIG_DFL,
}
"""Signals that end a command, and the handler of one that nobody has changed (nohup ignores SIGHUP)."""


@contextlib.contextmanager
def endings_raised() -> Iterator[None]:
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
