"""The only place in the mesh room that reads the time."""

from __future__ import annotations

import time

from myownmesh.protocol.clock import Instant

_LAST = 253_402_300_799
"""The end of the year 9999, Unix seconds."""
# Linux stops its monotonic clock while the machine sleeps, macOS does not.
_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def steady() -> float:
    """Seconds on a clock that counts sleep and that nobody sets."""
    return time.clock_gettime(_STEADY)


def now() -> Instant:
    """This moment on the monotonic and the wall clock."""
    return Instant(time.monotonic(), time.time_ns() // 1_000_000)


def day(at: int) -> str:
    """The day in UTC of a time in Unix seconds: 2026-01-31. A file may hold any: of later ones, year 9999's last."""
    return time.strftime("%Y-%m-%d", time.gmtime(min(at, _LAST)))
