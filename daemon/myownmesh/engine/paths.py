"""What the ICE path of a link does. It never ends a link that carries frames (spec 04 §7.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh_common.views import SelectedPair
from myownmesh.engine import keepalive, lifecycle, negotiation, restarting
from myownmesh.engine.life import Turn
from myownmesh.engine.links import PathState
from myownmesh.engine.path_words import connection_state, directness, kind_word
from myownmesh.engine.peer import ICE_RESTART, ICE_WATCHDOG, Live, OpenLink, Recovery
from myownmesh.engine.timers import LinkTimer
from myownmesh.engine.timing import PATH_FAILED_GRACE_S

if TYPE_CHECKING:
    from mesh_common.events import Level
    from myownmesh.engine.core import Core
    from myownmesh.engine.links import PairSelected, PathChanged
    from myownmesh.engine.peer import Link
    from myownmesh.protocol.clock import Instant


def changed(core: Core, peer: Link, event: PathChanged, now: Instant) -> None:
    """Follow the path: a restart while it is down, a ping as soon as it is back, an end when it stays mute."""
    transport, state = peer.transport, event.state
    was_up, before, connection = transport.path.is_up, transport.carrier, connection_state(peer)
    if state is not transport.path:
        transport.path_since = now.mono
    transport.path, transport.fallback = state, event.fallback
    carrier = transport.carrier
    level: Level = "info" if PathState.DISCONNECTED in (state, event.fallback) else "debug"
    detail = {"peer": peer.device_id, "ice_state": state.value}
    if event.fallback is not None:
        detail["older_path"] = event.fallback.value
    core.diag(now, level, "ice", f"path {state.value}", detail)
    if (becomes := connection_state(peer)) != connection:
        core.diag(now, "debug", "transport", f"connection {becomes}", {"peer": peer.device_id, "state": becomes})
    if carrier is not before:
        _carrier_changed(core, peer, carrier, now)
    if isinstance(peer, Live):
        if state.is_up and not was_up:
            restarting.path_up(core, peer, now)
        elif state is PathState.FAILED:
            restarting.look(core, peer, now)
        if (state.is_up and not was_up) or (carrier.is_up and not before.is_up):
            keepalive.ping(core, peer, now)


def _carrier_changed(core: Core, peer: Link, carrier: PathState, now: Instant) -> None:
    transport = peer.transport
    if carrier.is_up:
        core.timers.cancel(LinkTimer.PATH_FAILED, peer.owner)
        if transport.recovery is not None:
            transport.recovery = Recovery(ICE_RESTART, now.mono)
    elif carrier.is_down:
        transport.selected_pair = None
    if carrier is PathState.DISCONNECTED:
        core.describe_paths(peer, "disconnected", "debug")
        if transport.recovery is None:
            transport.recovery = Recovery(ICE_WATCHDOG, now.mono)
        if isinstance(peer, Live):
            restarting.restart(core, peer, "ice-disconnected-watchdog", now)
    elif carrier is PathState.FAILED:
        core.describe_paths(peer, "failed", "warn")
        _expect_frames(core, peer, now)
        if isinstance(peer, Live):
            restarting.restart(core, peer, "ice-failed", now)


def _expect_frames(core: Core, peer: Link, now: Instant) -> None:
    """A failed path is believed once no frame came for 30 s (before that the other clocks of the link run)."""
    if isinstance(peer, OpenLink):
        core.timers.set(LinkTimer.PATH_FAILED, peer.owner, max(now.mono, _grace_ends(peer)))


def judge_failure(core: Core, peer: OpenLink, now: Instant) -> None:
    """The grace of a failed path is over: rebuild unless frames still come."""
    if peer.transport.carrier is not PathState.FAILED:
        return
    if now.mono < _grace_ends(peer):
        _expect_frames(core, peer, now)
        return
    core.diag(now, "warn", "ice", "path failed and no frame came", {"peer": peer.device_id})
    if isinstance(peer, Live) and keepalive.is_suspicious(peer):  # it has just announced itself: offer at once
        negotiation.look_closer(core, peer, now)
    lifecycle.drop(core, peer.device_id, Turn.PATH_FAILED, now)
    core.nudge(now)


def _grace_ends(peer: OpenLink) -> float:
    heard = peer.transport.opened_at if peer.channel.last_recv is None else peer.channel.last_recv
    return heard + PATH_FAILED_GRACE_S


def pair_selected(core: Core, peer: Link, event: PairSelected, now: Instant) -> None:
    pair = peer.transport.selected_pair = SelectedPair(event.local, event.remote)
    detail = {"peer": peer.device_id, "local": kind_word(pair.local), "remote": kind_word(pair.remote)}
    core.diag(now, "info", "ice", "path selected", {**detail, "transport": directness(pair)})
