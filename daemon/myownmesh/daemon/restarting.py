"""A daemon that restarts by itself for a version that waits, when nothing is under way (spec 09 §10.6).

`auto_update.restart` is `idle` for that; without it the daemon runs what it started with until somebody restarts it.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import trio

from mesh_common.views import TurnReport
from myownmesh.mesh.errors import MeshError

if TYPE_CHECKING:
    from collections.abc import Callable

    from myownmesh.mesh.mesh import Mesh
    from myownmesh.store.config import AutoUpdate
    from myownmesh.updates.service import Updates

LOOK_S = 60.0
"""Between looks at whether a version waits: three small files."""
ASK_S = 5.0
"""Between looks at what is under way, while one does."""
QUIET_S = 60.0
"""So long nothing may have been under way: between two questions of one conversation there is less."""
LIMIT_S = 24 * 3600.0
"""What has waited for so long is not put off any more: a daemon that is never idle gets its repairs, too."""
QUIET_BYTES_PER_S = 2048.0
"""Of applications, and over TURN; what is beneath are signs of life."""

log = logging.getLogger(__name__)


class Activity(NamedTuple):
    """What a restart would cut off."""

    under_way: int
    """Calls, streams, and messages that are not acknowledged."""
    queued_bytes: int
    """On the fullest link."""
    moved_bytes: int
    """Ever, of applications and over TURN."""


def activity(mesh: Mesh) -> Activity:
    """As it is now."""
    networks = mesh.networks()
    moved = sum(lane.bytes for each in networks for lane in (each.traffic.app_tx, each.traffic.app_rx))
    turn = mesh.services_report().turn
    if isinstance(turn, TurnReport) and turn.relayed is not None:
        moved += turn.relayed.bytes_up + turn.relayed.bytes_down
    return Activity(
        under_way=sum(network.under_way for network in networks),
        queued_bytes=max((network.most_queued_bytes for network in networks), default=0),
        moved_bytes=moved,
    )


class Watch:
    """How long nothing has been under way, told by looks; `now` is monotonic seconds. Pure."""

    def __init__(self, now: float, seen: Activity) -> None:
        self._at, self._seen = now, seen
        self._since, self._quiet_since = now, now

    def look(self, now: float, seen: Activity) -> str | None:
        """What keeps a restart from happening, in words; None when nothing does any more."""
        busy = self._busy(now, seen)
        self._at, self._seen = now, seen
        if busy is not None:
            self._quiet_since = now
        if now - self._since >= LIMIT_S:
            return None
        if busy is None and now - self._quiet_since < QUIET_S:
            return f"{QUIET_S:.0f} s without calls, streams and files"
        return busy

    def _busy(self, now: float, seen: Activity) -> str | None:
        if seen.under_way:
            one = seen.under_way == 1
            return (
                f"{seen.under_way} call{'' if one else 's'}, stream{'' if one else 's'} or message{'' if one else 's'}"
            )
        # Less than before: a network was left, or the server's process is another one.
        moved = max(0, seen.moved_bytes - self._seen.moved_bytes)
        if seen.queued_bytes or moved > QUIET_BYTES_PER_S * (now - self._at):
            return "what is on its way, a file for one"
        return None


class Restarting:
    """Runs beside the mesh of a packed daemon. `restart` has the daemon start anew in a moment."""

    def __init__(self, updates: Updates, mesh: Mesh, restart: Callable[[], None]) -> None:
        self._updates, self._mesh, self._restart = updates, mesh, restart

    async def run(self) -> None:
        """Until this daemon is to start anew, or cancelled."""
        # What waited at our own start was not put in, for a reason that stays: trying it again would have no end.
        passed_over = await self._waiting(any_setting=True)
        while True:
            version = await self._waiting()
            if version in (None, passed_over):
                await trio.sleep(LOOK_S)
            elif await self._until_idle(version):
                log.info("restarting, so that version %s runs", version)
                self._restart()
                return

    async def _until_idle(self, version: str) -> bool:
        """Whether it is time; False when that version does not wait any more, or is not wanted."""
        watch = Watch(trio.current_time(), activity(self._mesh))
        try:
            while await self._waiting() == version:
                kept = watch.look(trio.current_time(), activity(self._mesh))
                if kept is None:
                    return True
                self._updates.restart_waits_for = kept
                await trio.sleep(ASK_S)
            return False
        finally:
            self._updates.restart_waits_for = None

    async def _waiting(self, *, any_setting: bool = False) -> str | None:
        """The version that is to run and does not; None also while nobody wants restarts."""
        try:
            preferences: AutoUpdate = (await self._mesh.config_on_disk()).auto_update
        except MeshError as error:
            log.warning("whether a new version is to have this daemon restart cannot be read: %s", error)
            return None
        if preferences.restart != "idle" and not any_setting:
            return None
        return await trio.to_thread.run_sync(partial(self._updates.next_version, preferences))
