"""The only place in the mesh room that reads the time."""

from __future__ import annotations

import time

from myownmesh.protocol.clock import Instant


def now() -> Instant:
    """This moment on the monotonic and the wall clock."""
    return Instant(time.monotonic(), time.time_ns() // 1_000_000)
