"""What the signaling room says: each item to where it is decided."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from myownmesh.engine import answers, moving, nameless, negotiation, presence, trickle, twin
from myownmesh.protocol.signals import (
    AnswerReceived,
    CandidateReceived,
    EchoHeard,
    OfferReceived,
    PeerAnnounced,
    PeerLeft,
    StaleAnnounce,
    TwinHeard,
    TwinLeft,
)

if TYPE_CHECKING:
    from myownmesh.engine.core import Core
    from myownmesh.protocol.clock import Instant
    from myownmesh.protocol.signals import InboundSignal


def receive(core: Core, item: InboundSignal, now: Instant) -> None:
    """Of others nothing counts while we stand aside; of ourselves nothing but what tells of a twin or of delays."""
    if isinstance(item, PeerAnnounced):  # in a large room nothing comes more often
        if item.peer != core.me and not core.stands_aside:
            core.traffic.announces_rx += 1
            presence.receive_announce(core, item.peer, now, again=item.again)
        return
    match item:
        case TwinHeard(is_elder=is_elder):
            twin.receive(core, is_elder, now)
        case TwinLeft():
            twin.gone(core, now)
        case EchoHeard(late_s=late_s):
            core.echo_heard(late_s)
            nameless.echo_heard(core, late_s, now)
        case _ if item.peer == core.me or core.stands_aside:
            pass
        case StaleAnnounce(peer):
            core.traffic.announces_rx += 1
            presence.receive_stale(core, peer, now)
        case OfferReceived():
            core.traffic.negotiation_rx += 1
            moving.negotiated(core, now)
            negotiation.receive_offer(core, item, now)
        case AnswerReceived():
            core.traffic.negotiation_rx += 1
            moving.negotiated(core, now)
            answers.receive(core, item, now)
        case CandidateReceived(peer, candidate):
            core.traffic.negotiation_rx += 1
            trickle.receive(core, peer, candidate, now)
        case PeerLeft(peer, is_signed):
            core.traffic.negotiation_rx += 1
            presence.receive_leave(core, peer, now, is_signed=is_signed)
        case _:
            assert_never(item)
