"""What the ICE path of a link does. It never ends a link that carries frames (spec 04 §7.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from myownmesh.engine import keepalive, lifecycle
from myownmesh.engine.links import PathState
from myownmesh.engine.peer import ICE_RESTART, ICE_WATCHDOG, STEADY
from myownmesh.engine.timers import LinkTimer
from myownmesh.engine.timing import PATH_FAILED_GRACE_S
from myownmesh.protocol.views import SelectedPair

if TYPE_CHECKING:
    from myownmesh.engine.core import Core
    from myownmesh.engine.events import Level
    from myownmesh.engine.links import PairSelected
    from myownmesh.engine.peer import Peer
    from myownmesh.protocol.clock import Instant


def changed(core: Core, peer: Peer, state: PathState, now: Instant) -> None:
    """Follow the path: a tier while it is down, a ping as soon as it is back, an end when it stays mute."""
    was_up = peer.path.is_up
    peer.path = state
    level: Level = "info" if state is PathState.DISCONNECTED else "debug"
    core.diag(now, level, "ice", f"path {state.value}", {"peer": peer.device_id, "ice_state": state.value})
    match state:
        case PathState.CONNECTED | PathState.COMPLETED:
            core.timers.cancel(LinkTimer.PATH_FAILED, peer.device_id)
            if peer.tier is not STEADY:
                peer.tier, peer.tier_since = ICE_RESTART, now.mono
            if peer.admitted and not was_up:
                keepalive.ping(core, peer, now)
        case PathState.DISCONNECTED:
            peer.selected_pair = None
            if peer.tier is STEADY:
                peer.tier, peer.tier_since = ICE_WATCHDOG, now.mono
        case PathState.FAILED:
            peer.selected_pair = None
            _expect_frames(core, peer, now)
        case PathState.CLOSED:
            peer.selected_pair = None
        case PathState.NEW | PathState.CHECKING:
            pass


def _expect_frames(core: Core, peer: Peer, now: Instant) -> None:
    """A failed path is believed once no frame came for 30 s (before that the other clocks of the link run)."""
    if peer.channel_open:
        core.timers.set(LinkTimer.PATH_FAILED, peer.device_id, max(now.mono, _grace_ends(peer)))


def judge_failure(core: Core, peer: Peer, now: Instant) -> None:
    """The grace of a failed path is over: rebuild unless frames still come."""
    if peer.path is not PathState.FAILED:
        return
    if now.mono < _grace_ends(peer):
        _expect_frames(core, peer, now)
        return
    core.diag(now, "warn", "ice", "path failed and no frame came", {"peer": peer.device_id})
    lifecycle.drop(core, peer.device_id, lifecycle.ICE_FAILED, now)
    core.announce(now)


def _grace_ends(peer: Peer) -> float:
    heard = peer.opened_at if peer.last_recv is None else peer.last_recv
    return heard + PATH_FAILED_GRACE_S


def pair_selected(core: Core, peer: Peer, event: PairSelected, now: Instant) -> None:
    peer.selected_pair = SelectedPair(event.local, event.remote)
    kind = "relayed (TURN)" if "relay" in (event.local, event.remote) else "direct"
    core.diag(
        now,
        "info",
        "ice",
        "path selected",
        {"peer": peer.device_id, "local": event.local, "remote": event.remote, "transport": kind},
    )
