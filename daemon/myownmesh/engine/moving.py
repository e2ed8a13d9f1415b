"""What links make of it when this machine's network changes, or when it slept (spec 04 §7.7, §15.1 no. 6, 7, 9).

Relays come first: an offer that is written to a connection of yesterday reaches nobody. When the first of them works,
every link is renewed in place, and whoever is wanted back is dialled. Without a network nothing is tried and nothing
given up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from myownmesh.engine import beside, dialling, keepalive, lifecycle, restarting
from myownmesh.engine.actions import RedialRelays
from myownmesh.engine.moves import Move
from myownmesh.engine.peer import Link, Live, Mark
from myownmesh.engine.timers import LinkTimer, NetworkTimer
from myownmesh.engine.timing import (
    DOUBT_WAIT_S,
    IN_FLIGHT_S,
    PROBE_WAIT_S,
    RELAY_WAIT_S,
    WAKE_COALESCE_S,
    WAKE_THRESHOLD_S,
)
from myownmesh.protocol.signals import Announce

if TYPE_CHECKING:
    from myownmesh.engine.core import Core
    from myownmesh.protocol.clock import Instant


def moved(core: Core, move: Move, detail: dict[str, object], now: Instant) -> None:
    """The network changed. `detail` is told in the diagnostics: how it was, and is."""
    if move is Move.OFFLINE:
        if core.offline_since is None:
            core.offline_since = now.mono
            core.timers.hold(now.mono)
            core.diag(now, "info", "network", move.value, {"prev": detail.get("prev")})
        return
    core.diag(now, "info", "network", move.value, detail)
    _go_on(core, now)
    core.out.append(RedialRelays(if_mute=True))
    if move is Move.SHIFTED:
        _doubt_all(core, now)
        dialling.retry_wanted(core, now)
    else:
        core.fan_out_due = True
        core.timers.set(NetworkTimer.FAN_OUT, "", now.mono + RELAY_WAIT_S)


def stood_still(core: Core, now: Instant) -> bool:
    """Does a heartbeat come so late that silence says nothing? Then it is a waking instead."""
    gap_s = 0.0 if core.last_beat is None else now.mono - core.last_beat.mono
    if gap_s <= WAKE_THRESHOLD_S:
        return False
    woken(core, gap_s, now)
    return True


def woken(core: Core, seconds: float, now: Instant) -> None:
    """This machine slept, or the process stood still: the links may live on, and say so within a moment."""
    last, core.woken_at = core.woken_at, now.mono
    if last is not None and now.mono - last < WAKE_COALESCE_S:
        return
    keepalive.rest(core, now)
    core.diag(now, "info", "network", "awake again", {"slept_ms": round(seconds * 1000)})
    if not core.stands_aside:
        core.publish(Announce())
    core.out.append(RedialRelays(if_mute=True))
    if not core.is_offline:
        _doubt_all(core, now)


def relay_is_up(core: Core, now: Instant) -> None:
    """A way into the room works. While offline it is a relay of this machine, which shows nothing."""
    if core.is_offline:
        return
    if core.fan_out_due:
        core.fan_out_due = False
        core.timers.cancel(NetworkTimer.FAN_OUT, "")
        fan_out(core, now)
        return
    for peer in core.live_peers():
        restarting.restart(core, peer, "relay-up", now)
    dialling.retry_wanted(core, now)


def negotiated(core: Core, now: Instant) -> None:
    """A peer offers or answers. Where that happens offline, it is on this machine as well, and needs no network."""
    if core.offline_since is not None and now.mono - core.offline_since >= IN_FLIGHT_S:
        _go_on(core, now)


def fan_out(core: Core, now: Instant) -> None:
    """Renew every link and dial whom we want; without a relay in 15 s, and once more when there is one."""
    if core.is_offline:
        return
    for peer in list(core.peers.values()):
        if isinstance(peer, Live):
            peer.transport.last_offer = None  # what was offered over the former network needs no time to be answered
            restarting.restart(core, peer, "network-change", now, forced=True)
        elif isinstance(peer, Link):
            lifecycle.renew(core, peer, now)
    for successor in list(core.successors.values()):
        if successor.transport.remote_sdp_set:
            lifecycle.renew(core, successor, now)
        else:
            beside.end(core, successor.device_id)  # the restart of the link asks the same
    dialling.retry_wanted(core, now)
    core.nudge(now)


def judge_doubt(core: Core, peer: Live, now: Instant) -> None:
    """The link that was doubted had its time."""
    doubt = peer.upkeep.doubt
    if doubt is not None and peer.channel.frames_in == doubt.frames:
        restarting.restart(core, peer, "network-change", now, forced=True)
    peer.upkeep.doubt = None


def _doubt_all(core: Core, now: Instant) -> None:
    for peer in core.live_peers():
        peer.upkeep.doubt = Mark(now.mono, peer.channel.frames_in)
        keepalive.ping(core, peer, now)
        patience = min(keepalive.pong_s(peer), PROBE_WAIT_S)
        core.timers.set(LinkTimer.DOUBT, peer.owner, now.mono + max(DOUBT_WAIT_S, patience))


def _go_on(core: Core, now: Instant) -> None:
    since, core.offline_since = core.offline_since, None
    if since is None:
        return
    core.timers.release(now.mono)
    core.intents.extend(now.mono - since)
    keepalive.rest(core, now)  # silence meanwhile says nothing
