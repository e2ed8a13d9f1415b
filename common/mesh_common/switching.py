"""A thread that works for long beside a program that has to answer."""

from __future__ import annotations

import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

SWITCH_SECONDS: Final = 0.0005
"""Python's 5 ms would be added to every step of a request that is answered while the thread works."""

_lock: Final = threading.Lock()
_working: Final[list[float]] = []
"""One for each that works; the first is the interval from before."""


@contextmanager
def program_goes_on() -> Iterator[None]:
    """While a thread works: the interpreter changes threads more often than it likes to. Any thread may enter."""
    with _lock:
        _working.append(_working[0] if _working else sys.getswitchinterval())
        sys.setswitchinterval(SWITCH_SECONDS)
    try:
        yield
    finally:
        with _lock:
            before = _working.pop()
            if not _working:
                sys.setswitchinterval(before)
