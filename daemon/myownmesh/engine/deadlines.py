"""What each deadline was set for: a timer ends, and its room acts. What the timers are is said in `timers`."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from myownmesh.engine import (
    answers,
    approval,
    dialling,
    gossip,
    handshake,
    holdouts,
    keepalive,
    lifecycle,
    moving,
    negotiation,
    paths,
    presence,
    proposals,
    reliable,
    restarting,
    shaping,
    slices,
    successors,
    suspicion,
    twin,
)
from myownmesh.engine.life import Turn
from myownmesh.engine.peer import Connecting, Handshaking, Live, OpenLink, Pending
from myownmesh.engine.timers import LinkTimer, NetworkTimer, PeerTimer

if TYPE_CHECKING:
    from myownmesh.engine.core import Core
    from myownmesh.engine.peer import Link
    from myownmesh.engine.timers import Timer
    from myownmesh.protocol.clock import Instant


def handle(core: Core, timer: Timer, owner: str, now: Instant) -> None:
    """Do what `timer` of `owner` was set for; nothing if the stage that it was set for is over."""
    match timer:  # each is compared in turn: what ends most often stands first
        case LinkTimer():
            entry = core.link_of(owner)
            if entry is not None and core.is_successor(entry):
                successors.due(core, timer, entry, now)
            else:
                _of_link(core, timer, entry, now)
        case NetworkTimer.HEARTBEAT:
            if not moving.stood_still(core, now):
                keepalive.beat(core, now)
        case NetworkTimer.PONGS_DUE:
            suspicion.look_at_pings(core, now)
        case PeerTimer.DIAL_ANYWAY:
            presence.dial_now(core, owner, now)
        case NetworkTimer.FAN_OUT:
            moving.fan_out(core, now)
        case NetworkTimer.INTENTS:
            dialling.watch_intents(core, now)
        case NetworkTimer.SHAPE:
            shaping.take_pass(core, now)
        case NetworkTimer.OUTBOX:
            reliable.look(core, now)
        case NetworkTimer.GOSSIP:
            gossip.tell_all(core, now)
        case NetworkTimer.SLICE:
            slices.do_one(core, now)
        case NetworkTimer.PULLS:
            gossip.ask_again(core, now)
        case NetworkTimer.PULL_ROUND:
            gossip.look_around(core, now)
        case NetworkTimer.HELD:
            proposals.look(core, now)
        case NetworkTimer.HOLDOUTS:
            holdouts.take_look(core, now)
        case NetworkTimer.TWIN_SILENCE:
            twin.gone(core, now)
        case NetworkTimer.LEAVE_FLUSH:
            lifecycle.close_all(core)
        case PeerTimer.EARLY_OFFER:
            negotiation.early_offer_due(core, owner, now)
        case PeerTimer.LINGER:
            lifecycle.close_lingering(core, owner)
        case _:
            assert_never(timer)


def _of_link(core: Core, timer: LinkTimer, entry: Link | None, now: Instant) -> None:
    match timer:
        case LinkTimer.CHANNEL_OPEN if isinstance(entry, Connecting):
            lifecycle.connect_timed_out(core, entry, now)
        case LinkTimer.REOFFER if isinstance(entry, Connecting):
            negotiation.reoffer_due(core, entry, now)
        case LinkTimer.GLARE_HOLD if entry is not None and (held := entry.transport.held) is not None:
            negotiation.hold_ended(core, entry, held, now)
        case LinkTimer.CONTEST if isinstance(entry, Connecting | Handshaking):
            answers.contest_ended(core, entry, now)
        case LinkTimer.HELLO if isinstance(entry, Handshaking):
            handshake.repeat_hello(core, entry, now)
        case LinkTimer.HANDSHAKE if isinstance(entry, Handshaking):
            handshake.time_out(core, entry, now)
        case LinkTimer.APPROVE if isinstance(entry, Pending | Live):
            approval.repeat_approve(core, entry, now)
        case LinkTimer.PENDING_AGE if isinstance(entry, Pending):
            lifecycle.drop(core, entry.device_id, Turn.UNDECIDED, now)
        case LinkTimer.PROBE if isinstance(entry, Live):
            keepalive.judge_probe(core, entry, now)
        case LinkTimer.DOUBT if isinstance(entry, Live):
            moving.judge_doubt(core, entry, now)
        case LinkTimer.SUSPICION if isinstance(entry, Live):
            negotiation.look_closer(core, entry, now)
        case LinkTimer.PATH_FAILED if isinstance(entry, OpenLink):
            paths.judge_failure(core, entry, now)
        case LinkTimer.ANSWER_DUE if isinstance(entry, Live):
            suspicion.answer_due(core, entry, now)
        case LinkTimer.ASKED if isinstance(entry, Live) and entry.upkeep.asked is not None:
            suspicion.judge(core, entry, entry.upkeep.asked, now)
        case LinkTimer.RESTART if isinstance(entry, Live):
            restarting.look(core, entry, now)
        case LinkTimer.RESTART_VERDICT if isinstance(entry, Live) and (begun := entry.transport.restart) is not None:
            restarting.judge(core, entry, begun, now)
        case LinkTimer.LEAVE_PING if isinstance(entry, OpenLink):
            presence.test_leave(core, entry, now)
        case LinkTimer.LEAVE_VERDICT if isinstance(entry, OpenLink):
            presence.judge_leave(core, entry, now)
        case _:
            pass  # the stage that it was set for is over
