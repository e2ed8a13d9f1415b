"""Offers, the peer's and ours: who may change which transport (spec 04 §5.4–5.9). Of answers `answers` decides."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from myownmesh.engine import early, keepalive, lifecycle, nameless, restarting
from myownmesh.engine.actions import TakeOffer
from myownmesh.engine.candidates import ANY, OUR_LINE, RELAYED
from myownmesh.engine.decisions import Dial, OnOffer, Role, on_offer, on_unmatched_answer, role
from myownmesh.engine.diagnostics import short_id
from myownmesh.engine.life import Turn
from myownmesh.engine.limits import MAX_SDP_CHARS
from myownmesh.engine.peer import Connecting, Handshaking, HeldOffer, Live, OpenedBy, OpenLink, OwnOffer, Reoffer
from myownmesh.engine.timers import LinkTimer, PeerTimer
from myownmesh.engine.timing import (
    DIAL_ANYWAY_GAP_S,
    GLARE_HOLD_S,
    HOLD_PING_S,
    NEWCOMER_S,
    REOFFER_GAP_S,
)
from myownmesh.protocol.binding import first_fingerprint
from myownmesh.protocol.ice_credentials import ice_ufrag

if TYPE_CHECKING:
    from myownmesh.engine.core import Core
    from myownmesh.engine.peer import Link, Transport
    from myownmesh.protocol.clock import Instant
    from myownmesh.protocol.signals import OfferReceived


# ── what the peer sends ───────────────────────────────────────────────────────────────────────────────────────────────


def receive_offer(core: Core, offer: OfferReceived, now: Instant) -> None:
    """An offer is the universal "please connect": it is answered whatever role, silence and shape say."""
    device_id, sdp = offer.peer, offer.sdp
    core.diag(
        now, "debug", "signaling", f"offer from {short_id(device_id)}", {"peer": device_id, "sdp_bytes": len(sdp)}
    )
    if len(sdp) > MAX_SDP_CHARS:
        return
    core.timers.cancel(PeerTimer.DIAL_ANYWAY, device_id)
    early.forget(core, device_id)  # the newest offer counts
    peer = core.link_to(device_id)
    if peer is not None and keepalive.clear_zombie(core, peer, now):
        peer = core.link_to(device_id)
    decision = on_offer(core.me, offer, peer, now.mono, had_link=core.is_rostered(device_id))
    match decision:
        case OnOffer.ANSWER | OnOffer.YIELD if nameless.waits(core, offer, now):
            core.diag(now, "debug", "signaling", f"offer from {short_id(device_id)} waits", {"peer": device_id})
        case OnOffer.ANSWER if core.memories.of(device_id).may_open_link(now.mono):
            _take_afresh(core, offer, now)
        case OnOffer.OFFER_INSTEAD if core.memories.of(device_id).may_open_link(now.mono):
            detail = {"peer": device_id, "reason": decision.value}
            core.diag(now, "info", "signaling", f"offering anew to {short_id(device_id)}", detail)
            lifecycle.open_link(core, device_id, offerer=True, opened_by=OpenedBy.OFFER, now=now)
        case OnOffer.APPLY if peer is not None:
            take_again(core, peer, offer, now)
        case OnOffer.YIELD if peer is not None:
            _yield(core, peer, offer, now)
        case OnOffer.HOLD if peer is not None:
            hold(core, peer, offer, now)
        case OnOffer.INSIST if peer is not None:
            reoffer(core, peer, now, Reoffer.CONTEST)
        case OnOffer.REBUILD if isinstance(peer, Live):
            _offered_beside(core, peer, offer, now)
        case OnOffer.REBUILD | OnOffer.REPLACE_STUCK if core.memories.of(device_id).may_open_link(now.mono):
            detail = {"peer": device_id, "reason": decision.value}
            core.diag(now, "info", "signaling", f"rebuilding for {short_id(device_id)}", detail)
            lifecycle.drop(core, device_id, Turn.REBUILT, now)
            _take_afresh(core, offer, now)
        case OnOffer.ANSWER | OnOffer.OFFER_INSTEAD | OnOffer.REBUILD | OnOffer.REPLACE_STUCK:
            _keep_for_its_turn(core, offer, now)
        case _:
            pass  # a repeat


def _keep_for_its_turn(core: Core, offer: OfferReceived, now: Instant) -> None:
    """An id that offers too often. Whoever stood still finds all at once what a peer has offered meanwhile, and the
    last one is the only one that it waits for."""
    early.keep(core, offer, core.memories.of(offer.peer).next_link_at(now.mono))


def _offered_beside(core: Core, main: Live, offer: OfferReceived, now: Instant) -> None:
    """A live peer offers another transport: build it beside the link. The newest offer counts."""
    device_id = main.device_id
    successor = core.successors.get(device_id)
    decision = on_offer(core.me, offer, successor, now.mono, had_link=True)
    match decision:
        case OnOffer.APPLY if successor is not None:
            take_again(core, successor, offer, now)
        case OnOffer.INSIST if successor is not None:
            reoffer(core, successor, now, Reoffer.CONTEST)
        case OnOffer.HOLD if isinstance(successor, Connecting):
            hold(core, successor, offer, now)
        case OnOffer.IGNORE:
            pass
        case _ if core.memories.of(device_id).may_open_link(now.mono):
            take(core, lifecycle.open_beside(core, main, offerer=False, now=now), offer)
        case _:
            _keep_for_its_turn(core, offer, now)


def _offer_anew(core: Core, main: Live, now: Instant) -> None:
    """Offer a live peer another transport, or again the one that it was offered."""
    successor = core.successors.get(main.device_id)
    if successor is not None and successor.transport.offerer:
        reoffer(core, successor, now, Reoffer.STUCK)
    elif core.memories.of(main.device_id).may_open_link(now.mono):
        anew = lifecycle.open_beside(core, main, offerer=True, now=now)
        anew.transport.former_offer = main.transport.last_offer if main.transport.own_offer is OwnOffer.OPEN else None


def hold_ended(core: Core, peer: Link, held: HeldOffer, now: Instant) -> None:
    """Our attempt came to nothing while the peer's offer waited: the peer never yields, so we do."""
    peer.transport.held = None
    if not isinstance(peer, OpenLink):
        _yield(core, peer, held.offer, now)
        return
    ends = held.since + GLARE_HOLD_S
    is_heard = peer.channel.frames_in != held.frames or (not isinstance(peer, Live) and peer.transport.carrier.is_up)
    if is_heard and now.mono < ends:
        peer.transport.held = held
        core.timers.set(LinkTimer.GLARE_HOLD, peer.owner, ends)
    elif isinstance(peer, Live):
        _offered_beside(core, peer, held.offer, now)
    elif core.memories.of(peer.device_id).may_open_link(now.mono):
        lifecycle.drop(core, peer.device_id, Turn.REBUILT, now)
        _take_afresh(core, held.offer, now)


def channel_closed(core: Core, peer: Link, turn: Turn, now: Instant) -> None:
    """The channel ended. The peer's offer of another certificate that waits was no late copy: it rebuilds."""
    held = peer.transport.held if isinstance(peer, OpenLink) else None
    lifecycle.channel_closed(core, peer, turn, now)
    if held is not None and turn is Turn.CLOSED:
        receive_offer(core, held.offer, now)


def early_offer_due(core: Core, device_id: str, now: Instant) -> None:
    """None that our announce caused has followed."""
    receive_offer(core, core.early_offers.pop(device_id), now)


# ── offering again ────────────────────────────────────────────────────────────────────────────────────────────────────


def reoffer(core: Core, peer: Link, now: Instant, reason: Reoffer) -> None:
    """Offer again on the same transport, or once at the end of the gap (spec 04 §5.8)."""
    transport = peer.transport
    if not transport.offerer or transport.own_offer is OwnOffer.BUILDING:
        return
    if core.is_offered_anew(peer.device_id) and not core.is_successor(peer):
        return  # an offer of the link would undo that
    due = _offer_due_at(core, transport)
    if now.mono < due:
        if not transport.remote_sdp_set:
            core.timers.set(LinkTimer.REOFFER, peer.owner, due)
        return
    transport.offered_again = reason
    lifecycle.make_offer(core, peer, now)


def reoffer_due(core: Core, peer: Connecting, now: Instant) -> None:
    """The postponed offer, unless an answer or offer has come meanwhile."""
    if not peer.transport.remote_sdp_set:
        reoffer(core, peer, now, Reoffer.UNANSWERED)


def answered_late(core: Core, device_id: str, now: Instant) -> None:
    """The peer has answered an offer of ours that is over: it is there, and its attempt leads nowhere. Offer anew,
    whoever's part that is and however often it failed before; seldom, for relays may repeat such answers."""
    memory = core.memories.of(device_id)
    last = memory.answered_late_at
    is_lately = last is not None and now.mono - last < DIAL_ANYWAY_GAP_S
    if core.is_offline or is_lately or not memory.may_open_link(now.mono):
        return
    memory.answered_late_at = now.mono
    lifecycle.open_link(core, device_id, offerer=True, opened_by=OpenedBy.PRESENCE, now=now)


def recover(core: Core, device_id: str, now: Instant) -> None:
    """Somebody answered what we do not ask (any more): if offering is our part, offer again (spec 04 §5.5)."""
    peer = core.link_to(device_id)
    match on_unmatched_answer(core.me, device_id, has_transport=peer is not None):
        case Dial.OFFER:
            memory = core.memories.of(device_id)
            if now.mono >= memory.dial_not_before and memory.may_open_link(now.mono):
                lifecycle.open_link(core, device_id, offerer=True, opened_by=OpenedBy.PRESENCE, now=now)
        case Dial.KEEP if peer is not None:
            reoffer(core, peer, now, Reoffer.FAILED_ANSWER)
        case _:
            pass


def newcomer_announced(core: Core, peer: Link, now: Instant) -> None:
    """A process that was not heard of before announced itself while a link to the peer is being made. Most likely it
    was its predecessor that answered, and nobody is there to go on."""
    if isinstance(peer, Handshaking):
        peer.frames_at_contest = peer.channel.frames_in
    elif not isinstance(peer, Connecting) or peer.transport.answered_at is None:
        return
    if not core.timers.is_set(LinkTimer.CONTEST, peer.owner):
        core.timers.set(LinkTimer.CONTEST, peer.owner, now.mono + NEWCOMER_S)


def look_closer(core: Core, peer: Live, now: Instant) -> None:
    """A live peer announced itself and has not answered our ping yet: a fresh process would not know this link.

    One that announced itself with a new key is fresh, and gets an offer of its own: one way through the room less. Of
    others a plain re-offer tells: a process that knows the link answers with its certificate, a fresh one with another.
    Where offering is the peer's part our announce lets it. Nudges are 2 s apart, so these offers need no gap of
    their own.
    """
    if not keepalive.is_suspicious(peer):
        return
    if role(core.me, peer.device_id) is Role.ANSWERER:
        if peer.upkeep.is_newcomer:
            core.announce(now)
        else:
            core.nudge(now)
    elif peer.upkeep.is_newcomer or core.is_offered_anew(peer.device_id):
        rebuild(core, peer, now)
    elif peer.transport.own_offer is not OwnOffer.BUILDING:
        lifecycle.make_offer(core, peer, now)


# ── inside ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _offer_due_at(core: Core, transport: Transport) -> float:
    """When the gap behind the last offer ends, which is open as long as an answer to it may be on its way. Compared as
    a moment, never as a difference, and so by its timer too: of two floats `a + gap <= b` does not imply
    `b - a >= gap`, and a timer that is early for its own rule spins."""
    gap_s = NEWCOMER_S if transport.is_unheard else max(REOFFER_GAP_S, core.answer_s)
    return 0.0 if transport.last_offer is None else transport.last_offer + gap_s


def _take_afresh(core: Core, offer: OfferReceived, now: Instant) -> None:
    peer = lifecycle.open_link(core, offer.peer, offerer=False, opened_by=OpenedBy.OFFER, now=now)
    take(core, peer, offer)


def hold(core: Core, peer: Link, offer: OfferReceived, now: Instant) -> None:
    """Give our own attempt its time before the peer's offer is answered (spec 04 §5.9)."""
    transport = peer.transport
    if transport.held is not None:
        transport.held = replace(transport.held, offer=offer)
        return
    patience, frames = GLARE_HOLD_S, 0
    if isinstance(peer, OpenLink):
        patience, frames = HOLD_PING_S, peer.channel.frames_in
    if isinstance(peer, Live):
        patience = min(GLARE_HOLD_S, max(HOLD_PING_S, keepalive.pong_s(peer)))
        keepalive.ping(core, peer, now)
    transport.held = HeldOffer(offer, now.mono, frames)
    core.timers.set(LinkTimer.GLARE_HOLD, peer.owner, now.mono + patience)


def _yield(core: Core, peer: Link, offer: OfferReceived, now: Instant) -> None:
    if core.memories.of(peer.device_id).may_open_link(now.mono):
        take(core, lifecycle.yield_link(core, peer, now), offer)


def take_again(core: Core, peer: Link, offer: OfferReceived, now: Instant) -> None:
    """An offer of the transport that there is: a repeat, or a restart. An open offer of ours is rolled back."""
    transport = peer.transport
    ufrag = ice_ufrag(offer.sdp)
    is_restart = isinstance(peer, Live) and ufrag != transport.remote_ufrag
    if is_restart and not core.memories.of(peer.device_id).may_open_link(now.mono):
        return
    had_open_restart = transport.has_open_restart
    transport.own_offer = OwnOffer.NONE
    take(core, peer, offer)
    if isinstance(peer, Live):
        if is_restart:
            restarting.peer_restarts(core, peer, now)
        elif had_open_restart:
            restarting.refused(core, peer, now)


def take(core: Core, peer: Link, offer: OfferReceived) -> None:
    transport = peer.transport
    note_description(core, transport, offer.sdp)
    transport.last_remote_offer = offer.sdp
    if (fingerprint := first_fingerprint(offer.sdp)) is not None:
        transport.remote_fingerprint = fingerprint
    transport.answering.append(offer.offer_id)
    transport.signaled_by, transport.is_sealed = offer.offer_id, offer.sealed
    core.out.append(TakeOffer(peer.device_id, peer.epoch, offer.sdp))


def note_description(core: Core, transport: Transport, sdp: str) -> None:
    """What an offer or answer that is taken tells besides its certificate."""
    transport.remote_ufrag = ice_ufrag(sdp)
    transport.remote_sdp_has_relay, transport.remote_sdp_has_candidates = RELAYED in sdp, ANY in sdp
    was_ours, transport.is_ours = transport.is_ours, OUR_LINE in sdp
    core.changes += transport.is_ours is not was_ours


def rebuild(core: Core, peer: Link, now: Instant) -> None:
    """Offer a new transport in place of one whose far end is gone; beside a link that was admitted."""
    device_id = peer.device_id
    if isinstance(peer, Live):
        _offer_anew(core, peer, now)
        return
    if core.is_successor(peer):
        if core.memories.of(device_id).may_open_link(now.mono):
            lifecycle.open_beside(core, core.live_link(device_id), offerer=True, now=now)
        return
    if not core.memories.of(device_id).may_open_link(now.mono):
        return
    core.diag(
        now, "info", "signaling", f"rebuilding for {short_id(device_id)}", {"peer": device_id, "reason": "peer_rebuilt"}
    )
    before = peer.transport
    lifecycle.drop(core, device_id, Turn.REBUILT, now)
    anew = lifecycle.open_link(core, device_id, offerer=True, opened_by=OpenedBy.PRESENCE, now=now)
    anew.transport.former_offer = before.last_offer if before.own_offer is OwnOffer.OPEN else None
