"""Peers that owe us a frame: asked twice, then their path is restarted, never ended (spec 04 §15.1 no. 15).

The path of a link is watched by its transport, whose checks cost no frames. What remains are peers that check and say
nothing. They are asked where an answer is due: after a heartbeat's ping, or while a call is under way. Whoever answers
late keeps its link; one that says nothing at all is dropped by the heartbeat, as before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from myownmesh.engine import keepalive, restarting
from myownmesh.engine.diagnostics import short_id
from myownmesh.engine.peer import Asked, Mark
from myownmesh.engine.timers import LinkTimer
from myownmesh.engine.timing import ANSWER_DUE_S, ASKED_WAIT_S

if TYPE_CHECKING:
    from myownmesh.engine.core import Core
    from myownmesh.engine.peer import Live
    from myownmesh.protocol.clock import Instant

MISSES = 2
"""So many pings in a row without a frame behind them."""


def expect(core: Core, peer: Live, now: Instant) -> None:
    """A call goes out, the first one for a while: something of the peer is due soon, be it something else."""
    peer.upkeep.expected = Mark(now.mono, peer.channel.frames_in)
    core.timers.set(LinkTimer.ANSWER_DUE, peer.owner, now.mono + max(ANSWER_DUE_S, keepalive.pong_s(peer)))


def answer_due(core: Core, peer: Live, now: Instant) -> None:
    """The time is over in which a frame of the peer should have come."""
    expected, peer.upkeep.expected = peer.upkeep.expected, None
    if expected is not None and expected.frames == peer.channel.frames_in:
        ask(core, peer, now)


def look_at_pings(core: Core, now: Instant) -> None:
    """Whoever has not answered the heartbeat's ping is asked again."""
    for peer in core.live_peers():
        asked, heard = peer.upkeep.last_ping, peer.channel.last_recv
        if asked is not None and heard is not None and heard < asked[1]:
            ask(core, peer, now)


def ask(core: Core, peer: Live, now: Instant) -> None:
    """Ask a peer that owes us a frame, unless it is being asked."""
    known = peer.upkeep.asked
    if known is not None and known.frames == peer.channel.frames_in:
        return
    peer.upkeep.asked = Asked(now.mono, peer.channel.frames_in)
    _ask(core, peer, peer.upkeep.asked, now)


def judge(core: Core, peer: Live, held: Asked, now: Instant) -> None:
    """It had its time to answer."""
    if held.frames != peer.channel.frames_in:
        peer.upkeep.asked = None
    elif held.pings < MISSES:
        _ask(core, peer, held, now)
    elif peer.transport.restart is None:
        core.diag(
            now,
            "info",
            "heartbeat",
            f"{short_id(peer.device_id)} answers no ping",
            {"peer": peer.device_id, "pings": held.pings},
        )
        restarting.restart(core, peer, restarting.SILENT, now, forced=True)


def suspected_since(peer: Live) -> float | None:
    """When it was asked for the frame that it still owes us; None while it owes none."""
    held, nudge = peer.upkeep.asked, peer.upkeep.nudge
    asked_at = held.since if held is not None and held.frames == peer.channel.frames_in else None
    nudged_at = nudge.at if nudge is not None and keepalive.is_suspicious(peer) else None
    return min((at for at in (asked_at, nudged_at) if at is not None), default=None)


def _ask(core: Core, peer: Live, held: Asked, now: Instant) -> None:
    held.pings += 1
    keepalive.ping(core, peer, now)
    wait_s = max(ASKED_WAIT_S, keepalive.pong_s(peer))
    core.timers.set(LinkTimer.ASKED, peer.owner, now.mono + wait_s)
