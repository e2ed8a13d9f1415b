"""The only place in the mesh room that reads the time."""

from __future__ import annotations

import time

from myownmesh.protocol.clock import Instant

# Linux stops its monotonic clock while the machine sleeps, macOS does not.
_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def steady() -> float:
    """Seconds on a clock that counts sleep and that nobody sets."""
    return time.clock_gettime(_STEADY)


def now() -> Instant:
    """This moment on the monotonic and the wall clock."""
    return Instant(time.monotonic(), time.time_ns() // 1_000_000)
