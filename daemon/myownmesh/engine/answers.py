"""Answers: which transport one belongs to, and whether it is taken (spec 04 §5.5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from myownmesh.engine import keepalive, nameless, negotiation
from myownmesh.engine.actions import TakeAnswer
from myownmesh.engine.decisions import Role, role
from myownmesh.engine.diagnostics import short_id
from myownmesh.engine.limits import MAX_SDP_CHARS
from myownmesh.engine.peer import Connecting, Live, OwnOffer
from myownmesh.engine.timers import LinkTimer
from myownmesh.engine.timing import CONTEST_S, FORMER_ANSWER_MARGIN_S, FORMER_OFFER_S
from myownmesh.protocol.binding import first_fingerprint

if TYPE_CHECKING:
    from myownmesh.engine.core import Core
    from myownmesh.engine.peer import Handshaking, Link, Transport
    from myownmesh.protocol.clock import Instant
    from myownmesh.protocol.signals import AnswerReceived


def receive(core: Core, answer: AnswerReceived, now: Instant) -> None:
    """Apply an answer that this transport waits for; anything else makes the offering side offer again."""
    device_id, sdp = answer.peer, answer.sdp
    core.diag(
        now, "debug", "signaling", f"answer from {short_id(device_id)}", {"peer": device_id, "sdp_bytes": len(sdp)}
    )
    if len(sdp) > MAX_SDP_CHARS:
        return
    peer = core.link_to(device_id)
    if peer is None:
        core.diag(now, "warn", "signaling", "answer without a transport", {"peer": device_id, "sdp_type": "answer"})
        memory = core.memories.get(device_id)
        if memory is not None and memory.has_offered(answer.offer_id):
            negotiation.answered_late(core, device_id, now)
        else:
            negotiation.recover(core, device_id, now)
        return
    successor = core.successors.get(device_id)
    if successor is not None and _is_for_successor(peer.transport, successor.transport, answer):
        peer = successor
    transport = peer.transport
    if _is_for_another(core, transport, answer):
        core.diag(now, "debug", "signaling", "stale answer", {"peer": device_id, "reason": "another_attempt"})
        _answered_what_is_over(core, peer, answer, now)
        return
    certificate = first_fingerprint(sdp)
    if transport.remote_fingerprint is not None and certificate != transport.remote_fingerprint:
        _answered_by_another(core, peer, certificate, now)
        return
    if transport.own_offer is OwnOffer.NONE:
        core.diag(now, "debug", "signaling", "stale answer", {"peer": device_id, "reason": "not_awaiting_answer"})
        if not answer.offer_id:
            negotiation.recover(core, device_id, now)
        return
    # A link that stands knows the certificate of its peer, so what has it answers no other attempt.
    if not isinstance(peer, Live) and _is_doubtful(core, peer, answer, certificate, now):
        return
    transport.own_offer = OwnOffer.NONE
    transport.remote_fingerprint = certificate
    transport.is_sealed = answer.sealed
    negotiation.note_description(core, transport, sdp)
    transport.held = None
    if transport.answered_at is None:
        transport.answered_at = now.mono
    core.timers.cancel(LinkTimer.GLARE_HOLD, peer.owner)
    core.timers.cancel(LinkTimer.REOFFER, peer.owner)
    core.out.append(TakeAnswer(device_id, peer.epoch, sdp))


def contest_ended(core: Core, peer: Connecting | Handshaking, now: Instant) -> None:
    """The answer that was applied first brought no channel, or a mute one: it was none to this offer, or none of the
    process that runs now. Or the first one that came has not been followed by another, so it was one to this offer."""
    doubtful, peer.transport.doubtful = peer.transport.doubtful, None
    if doubtful is not None:
        receive(core, doubtful, now)
    elif isinstance(peer, Connecting) or peer.frames_at_contest == peer.channel.frames_in:
        negotiation.rebuild(core, peer, now)


def _is_for_successor(main: Transport, successor: Transport, answer: AnswerReceived) -> bool:
    """Whether an answer belongs to the offer of the transport that is made beside the link."""
    if answer.offer_id:
        return answer.offer_id in successor.offer_ids
    return successor.own_offer is OwnOffer.OPEN and first_fingerprint(answer.sdp) != main.remote_fingerprint


def _is_for_another(core: Core, transport: Transport, answer: AnswerReceived) -> bool:
    """Whether an answer belongs to an offer of another transport than the present one (spec 04 §5.5).

    Ours name the offer. Those of v0.3.8 do not; there the certificate tells, if we have seen it on a link that is over.
    """
    if answer.offer_id:
        return answer.offer_id not in transport.offer_ids
    memory = core.memories.get(answer.peer)
    certificate = first_fingerprint(answer.sdp)
    return (
        memory is not None and certificate in memory.ended_certificates and certificate != transport.remote_fingerprint
    )


def _answered_what_is_over(core: Core, peer: Link, answer: AnswerReceived, now: Instant) -> None:
    """The peer took an offer of ours that is over, and we took one of its: if it gave that one up for ours, as after a
    sleep in which the room kept both, each waits for what the other has dropped. Time shows it: without a channel soon,
    offer anew."""
    memory = core.memories.get(answer.peer)
    if isinstance(peer, Connecting) and not peer.transport.offerer and memory is not None:
        is_ours = memory.has_offered(answer.offer_id)
        if is_ours and not core.timers.is_set(LinkTimer.CONTEST, peer.owner):
            core.timers.set(LinkTimer.CONTEST, peer.owner, now.mono + CONTEST_S)


def _answered_by_another(core: Core, peer: Link, certificate: str | None, now: Instant) -> None:
    """The answer names another certificate than the link's.

    Of a link that is still being made one of the two belongs to another attempt: which, the channel shows. On a live
    one it is a fresh process if the link is mute, else a forgery.
    """
    device_id = peer.device_id
    core.diag(now, "debug", "signaling", "stale answer", {"peer": device_id, "reason": "other_fingerprint"})
    if isinstance(peer, Connecting) and peer.transport.answered_at is not None:
        if certificate is not None:  # whatever follows with it answers none of our next transport's offers
            core.memories.of(device_id).certificate_ended(certificate)
        if not core.timers.is_set(LinkTimer.CONTEST, peer.owner):
            core.timers.set(LinkTimer.CONTEST, peer.owner, max(now.mono, peer.transport.answered_at + CONTEST_S))
    elif isinstance(peer, Live) and keepalive.is_suspicious(peer) and role(core.me, device_id) is Role.OFFERER:
        negotiation.rebuild(core, peer, now)


def _is_doubtful(core: Core, peer: Link, answer: AnswerReceived, certificate: str | None, now: Instant) -> bool:
    """Whether this may be the answer to what the transport before this one had offered; it is kept then."""
    transport = peer.transport
    former, transport.former_offer = transport.former_offer, None
    if transport.doubtful is not None:
        is_repeat = certificate == first_fingerprint(transport.doubtful.sdp)
        if not is_repeat:
            stale, transport.doubtful = first_fingerprint(transport.doubtful.sdp), None
            core.timers.cancel(LinkTimer.CONTEST, peer.owner)
            if stale is not None:
                core.memories.of(peer.device_id).certificate_ended(stale)
        return is_repeat
    if answer.offer_id:
        return False
    if (due := nameless.answer_due(core, transport, now)) is not None:
        transport.doubtful = answer
        core.timers.set(LinkTimer.CONTEST, peer.owner, due)
        return True
    if former is None or transport.last_offer is None:
        return False
    apart_s = transport.opened_at - former  # by its first offer: one that was repeated since is answered as the first
    if apart_s > FORMER_OFFER_S:
        return False
    transport.doubtful = answer
    core.timers.set(LinkTimer.CONTEST, peer.owner, now.mono + apart_s + FORMER_ANSWER_MARGIN_S)
    return True
