"""Work on signatures in slices of a few milliseconds, so that frames of others are answered in between."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from myownmesh.engine.timers import NetworkTimer

if TYPE_CHECKING:
    from myownmesh.engine.core import Core
    from myownmesh.governance.signatures import Slices
    from myownmesh.protocol.clock import Instant

SLICE_GAP_S: Final = 0.001
"""Between two slices: whatever waits has its turn."""


def put(core: Core, sender: str, job: Slices[None], now: Instant) -> bool:
    """Do this work, its first slice at once if nothing else is under way; False when too much waits already."""
    if not core.government.put_job(sender, job):
        return False
    if not core.timers.is_set(NetworkTimer.SLICE, ""):
        do_one(core, now)
    return True


def do_one(core: Core, now: Instant) -> None:
    """One slice; the next follows soon."""
    government = core.government
    if government.is_working:
        return  # what is being worked on has made more work
    government.now = now
    government.is_working = True
    try:
        government.work()
    finally:
        government.is_working = False
    if government.has_jobs:
        core.timers.set(NetworkTimer.SLICE, "", now.mono + SLICE_GAP_S)
