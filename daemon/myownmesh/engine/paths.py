"""What the ICE path of a link does. It never ends a link that carries frames (spec 04 §7.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh_common.views import SelectedPair
from myownmesh.engine import keepalive, lifecycle
from myownmesh.engine.life import Turn
from myownmesh.engine.links import PathState
from myownmesh.engine.peer import ICE_RESTART, ICE_WATCHDOG, Live, OpenLink, Recovery
from myownmesh.engine.timers import LinkTimer
from myownmesh.engine.timing import PATH_FAILED_GRACE_S

if TYPE_CHECKING:
    from mesh_common.events import Level
    from myownmesh.engine.core import Core
    from myownmesh.engine.links import PairSelected
    from myownmesh.engine.peer import Link
    from myownmesh.protocol.clock import Instant


def changed(core: Core, peer: Link, state: PathState, now: Instant) -> None:
    """Follow the path: a tier while it is down, a ping as soon as it is back, an end when it stays mute."""
    transport = peer.transport
    was_up, transport.path = transport.path.is_up, state
    level: Level = "info" if state is PathState.DISCONNECTED else "debug"
    core.diag(now, level, "ice", f"path {state.value}", {"peer": peer.device_id, "ice_state": state.value})
    match state:
        case PathState.CONNECTED | PathState.COMPLETED:
            core.timers.cancel(LinkTimer.PATH_FAILED, peer.device_id)
            if transport.recovery is not None:
                transport.recovery = Recovery(ICE_RESTART, now.mono)
            if isinstance(peer, Live) and not was_up:
                keepalive.ping(core, peer, now)
        case PathState.DISCONNECTED:
            transport.selected_pair = None
            if transport.recovery is None:
                transport.recovery = Recovery(ICE_WATCHDOG, now.mono)
        case PathState.FAILED:
            transport.selected_pair = None
            _expect_frames(core, peer, now)
        case PathState.CLOSED:
            transport.selected_pair = None


def _expect_frames(core: Core, peer: Link, now: Instant) -> None:
    """A failed path is believed once no frame came for 30 s (before that the other clocks of the link run)."""
    if isinstance(peer, OpenLink):
        core.timers.set(LinkTimer.PATH_FAILED, peer.device_id, max(now.mono, _grace_ends(peer)))


def judge_failure(core: Core, peer: OpenLink, now: Instant) -> None:
    """The grace of a failed path is over: rebuild unless frames still come."""
    if peer.transport.path is not PathState.FAILED:
        return
    if now.mono < _grace_ends(peer):
        _expect_frames(core, peer, now)
        return
    core.diag(now, "warn", "ice", "path failed and no frame came", {"peer": peer.device_id})
    lifecycle.drop(core, peer.device_id, Turn.PATH_FAILED, now)
    core.announce(now)


def _grace_ends(peer: OpenLink) -> float:
    heard = peer.transport.opened_at if peer.channel.last_recv is None else peer.channel.last_recv
    return heard + PATH_FAILED_GRACE_S


def pair_selected(core: Core, peer: Link, event: PairSelected, now: Instant) -> None:
    peer.transport.selected_pair = SelectedPair(event.local, event.remote)
    kind = "relayed (TURN)" if "relay" in (event.local, event.remote) else "direct"
    core.diag(
        now,
        "info",
        "ice",
        "path selected",
        {"peer": peer.device_id, "local": event.local, "remote": event.remote, "transport": kind},
    )
