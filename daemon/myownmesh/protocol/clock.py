"""One moment, told twice.

Pure rooms never ask for the time; whoever calls them hands in an `Instant`.
"""

from __future__ import annotations

from typing import NamedTuple


class Instant(NamedTuple):
    """A moment on both clocks of this machine."""

    mono: float
    """Monotonic seconds; every deadline and age is measured on it."""
    wall_ms: int
    """Unix milliseconds; only for values that people or peers read."""
