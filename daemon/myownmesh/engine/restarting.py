"""Restarts of a link in place: new ICE credentials under a living channel (spec 04 §7.1–7.4, §7.8, §10.11).

Either side may offer one. A path that is down is restarted by the lower side, and a second later by the higher one,
whose offers v0.3.8 takes as well; who sees the network move, or is told to by a person, does not wait. The old path
carries frames as long as it can. A frame over the new one confirms the restart; where none comes the link is given up
and dialled anew. While both are as they should be, or the checks of a restart are under way, nothing is offered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from myownmesh.engine import lifecycle
from myownmesh.engine.actions import MakeOffer
from myownmesh.engine.decisions import Role, role
from myownmesh.engine.diagnostics import short_id
from myownmesh.engine.life import Turn
from myownmesh.engine.links import PathState
from myownmesh.engine.peer import ICE_RESTART, Recovery, Restart
from myownmesh.engine.timers import LinkTimer
from myownmesh.engine.timing import (
    OUTDATED_CHECKS_S,
    REOFFER_GAP_S,
    RESTART_CONFIRM_S,
    RESTART_IN_FLIGHT_S,
    RESTART_REPEATS_S,
    RESTART_TURN_S,
    SUCCESSOR_FIRST_S,
)

SILENT: Final = "silent"
"""The trigger of a restart for a peer whose path works and who says nothing."""

if TYPE_CHECKING:
    from myownmesh.engine.core import Core
    from myownmesh.engine.peer import Live
    from myownmesh.protocol.clock import Instant


def restart(core: Core, peer: Live, trigger: str, now: Instant, *, forced: bool = False) -> None:
    """Renew the path to a peer, now or as soon as it may be; `forced`: even if it seems to work."""
    transport = peer.transport
    if core.is_offline or (transport.carrier.is_up and not forced):
        return
    under_way = transport.restart
    if under_way is None:
        under_way = transport.restart = Restart(trigger, now.mono, peer.channel.frames_in)
        core.timers.set(LinkTimer.RESTART_VERDICT, peer.owner, now.mono + RESTART_IN_FLIGHT_S)
    elif forced and peer.channel.frames_in != under_way.frames:
        under_way.since, under_way.frames = now.mono, peer.channel.frames_in  # the link lived until now
        core.timers.set(LinkTimer.RESTART_VERDICT, peer.owner, now.mono + RESTART_IN_FLIGHT_S)
    under_way.trigger = trigger
    under_way.is_forced |= forced
    under_way.is_wanted = True
    under_way.repeats = 0
    look(core, peer, now)


def look(core: Core, peer: Live, now: Instant) -> None:
    """Offer the restart that is wanted, or the one again that nobody has answered, if it is time for it."""
    transport, under_way = peer.transport, peer.transport.restart
    if under_way is None or not (under_way.is_wanted or _is_unanswered(peer)):
        return
    due = _due_at(core, peer, under_way)
    if due is None or core.is_offline or core.is_offered_anew(peer.device_id):
        return  # the end of the checks, or of the outage, comes back here; what is offered beside takes over, or ends
    if now.mono < due:
        core.timers.set(LinkTimer.RESTART, peer.owner, due)
        return
    core.diag(
        now,
        "debug",
        "ice",
        f"restarting the path to {short_id(peer.device_id)}",
        {
            "peer": peer.device_id,
            "trigger": under_way.trigger,
            "role": role(core.me, peer.device_id).value,
            "forced": under_way.is_forced,
            "ice_before": transport.path.value,
            "ice_restarts": under_way.offers + 1,
        },
    )
    if transport.recovery is None or transport.recovery.tier is not ICE_RESTART:
        transport.recovery = Recovery(ICE_RESTART, under_way.since)  # stamped once: spec 04 §15.1 no. 42
    under_way.is_wanted = False
    under_way.up_at = None
    under_way.offers += 1
    transport.begin_offer(now.mono, restart=True)
    wait_s = RESTART_REPEATS_S[min(under_way.repeats, len(RESTART_REPEATS_S) - 1)]
    under_way.repeats += 1
    core.timers.set(LinkTimer.RESTART, peer.owner, now.mono + max(wait_s, core.answer_s))
    core.out.append(MakeOffer(peer.device_id, peer.epoch, restart=True))


def refused(core: Core, peer: Live, now: Instant) -> None:
    """Our restart offer was no use: the peer kept its credentials, as v0.3.8 does while it gathers (spec 04 §10.11), or
    a plain offer of it overtook ours. Offered again once the gap is over."""
    if (under_way := peer.transport.restart) is not None:
        under_way.is_wanted = True
        look(core, peer, now)


def peer_restarts(core: Core, peer: Live, now: Instant) -> None:
    """The peer's offer has new credentials: what we wanted of a restart ourselves is done with it."""
    transport = peer.transport
    if transport.restart is None:
        transport.restart = Restart("peer", now.mono, peer.channel.frames_in)
        core.timers.set(LinkTimer.RESTART_VERDICT, peer.owner, now.mono + RESTART_IN_FLIGHT_S)
    transport.restart.is_wanted = False
    transport.restart.up_at = None
    core.timers.cancel(LinkTimer.RESTART, peer.owner)


def path_up(core: Core, peer: Live, now: Instant) -> None:
    """The newest path works: a frame over it is to confirm it; one that is wanted beyond it is offered now."""
    under_way = peer.transport.restart
    if under_way is None:
        return
    peer.transport.recovery = Recovery(ICE_RESTART, now.mono)
    under_way.up_at = now.mono
    under_way.frames = peer.channel.frames_in
    core.timers.set(LinkTimer.RESTART_VERDICT, peer.owner, now.mono + RESTART_CONFIRM_S)
    if not under_way.is_forced:
        under_way.is_wanted = False
    core.timers.cancel(LinkTimer.RESTART, peer.owner)
    look(core, peer, now)


def heard(core: Core, peer: Live, now: Instant) -> None:
    """A frame came while the path was doubted: the link is alive, and a new path that is up is confirmed."""
    transport, under_way = peer.transport, peer.transport.restart
    transport.recovery = None
    if under_way is not None and under_way.up_at is not None and not under_way.is_wanted:
        core.diag(
            now,
            "debug",
            "ice",
            f"the new path to {short_id(peer.device_id)} carries frames",
            {
                "peer": peer.device_id,
                "trigger": under_way.trigger,
                "after_ms": round((now.mono - under_way.since) * 1e3),
            },
        )
        _end(core, peer)


def judge(core: Core, peer: Live, under_way: Restart, now: Instant) -> None:
    """The time of a restart is over (spec 04 §7.4 step 5). Without a path the link ends. Over one that works and
    carries nothing another link is offered beside it, so that one whose peer is only slow outlives this."""
    transport = peer.transport
    is_mute = peer.channel.frames_in == under_way.frames
    is_slow = under_way.trigger == SILENT and not transport.carrier.is_down
    if is_mute and not is_slow and not transport.carrier.is_up:
        _say_mute(core, peer, under_way, now)
        lifecycle.drop(core, peer.device_id, Turn.NOT_RESTARTED, now)
        core.nudge(now)
        return
    _end(core, peer)
    if is_mute and not is_slow and transport.path.is_up:
        _say_mute(core, peer, under_way, now)
        if not core.is_offered_anew(peer.device_id) and core.memories.of(peer.device_id).may_open_link(now.mono):
            lifecycle.open_beside(core, peer, offerer=True, now=now)


def _say_mute(core: Core, peer: Live, under_way: Restart, now: Instant) -> None:
    core.diag(
        now,
        "warn",
        "ice",
        f"the restart of the path to {short_id(peer.device_id)} brought no frame",
        {"peer": peer.device_id, "trigger": under_way.trigger, "ice_state": peer.transport.path.value},
    )


def _end(core: Core, peer: Live) -> None:
    peer.transport.restart = None
    core.timers.cancel(LinkTimer.RESTART, peer.owner)
    core.timers.cancel(LinkTimer.RESTART_VERDICT, peer.owner)


def _is_unanswered(peer: Live) -> bool:
    """Our restart offer is out and needed: one over a path that came back by itself is not made again."""
    transport, under_way = peer.transport, peer.transport.restart
    assert under_way is not None
    return transport.has_open_restart and (under_way.is_forced or not transport.carrier.is_up)


def _due_at(core: Core, peer: Live, under_way: Restart) -> float | None:
    """When it may be offered; None: not before the checks that are under way have come to an end."""
    transport = peer.transport
    at = 0.0 if transport.last_offer is None else transport.last_offer + REOFFER_GAP_S
    if not under_way.is_forced:
        # The peer may be a process that came back, and its announce still under way: v0.3.8 would answer this offer.
        its_turn_s = 0.0 if role(core.me, peer.device_id) is Role.OFFERER else RESTART_TURN_S
        at = max(at, under_way.since + its_turn_s + core.room_s)
        successor = core.successors.get(peer.device_id)
        if successor is not None and not successor.transport.offerer:
            # A process that came back would take this offer for one to its new transport, as v0.3.8 does. Whoever
            # forges offers puts the restart off by so much and no more: it counts from the first one.
            beside_s = SUCCESSOR_FIRST_S + core.answer_s
            at = max(at, min(successor.transport.opened_at, under_way.since + beside_s) + beside_s)
    if transport.path is PathState.CHECKING and not transport.has_open_restart:
        # Answered checks run. Only an address that is gone makes them useless: spec 04 §7.3 step 3.
        return max(at, transport.path_since + OUTDATED_CHECKS_S) if under_way.is_forced else None
    return at
