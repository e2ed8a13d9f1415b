"""Who dials whom, as pure functions (spec 04 §5.1, §5.3 step 8, §5.4, §5.9, §6.4, §6.5)."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from myownmesh.engine.peer import Connecting, OwnOffer
from myownmesh.engine.timing import GLARE_HOLD_S, STUCK_AGE_S
from myownmesh.protocol.binding import first_fingerprint
from myownmesh.protocol.later_offers import answered_before
from myownmesh.protocol.offer_ids import gives_way

if TYPE_CHECKING:
    from myownmesh.engine.peer import Link, Transport
    from myownmesh.protocol.signals import OfferReceived


class Role(Enum):
    OFFERER = "Offerer"
    ANSWERER = "Answerer"


class Dial(Enum):
    """What to do about a peer that there may be reason to dial."""

    OFFER = "open_as_offerer"
    WAIT = "wait_for_offer"
    """Note the peer; its lower id dials, and we do when it does not."""
    NOTE = "note_sighted"
    """List the peer; nobody dials on presence here."""
    KEEP = "keep"
    NOTHING = "nothing"


class OnOffer(Enum):
    """What to do with a peer's offer (spec 04 §5.4, §5.9)."""

    ANSWER = "open_as_answerer"
    """There is no link: open one and answer."""
    APPLY = "keep"
    """Answer it on the link that there is; the session rolls an open offer of ours back."""
    OFFER_INSTEAD = "another_attempt"
    """It belongs to a transport that the peer has with a former process of ours: only a new one helps."""
    IGNORE = "repeat"
    """A relay's second copy; applying one offer twice wedges a transport. Or it belongs to a transport that is over. Or
    both restart, and the peer takes our offer in place of its own."""
    YIELD = "yield"
    """Both offered: the peer never yields, so we do, at once."""
    HOLD = "hold"
    """Give our own attempt its time first."""
    INSIST = "insist"
    """Both offered and the peer gives way: it does as soon as it hears our offer, so it hears it again."""
    REBUILD = "peer_rebuilt"
    """Another certificate means another transport."""
    REPLACE_STUCK = "stuck_connecting"
    """Our attempt is old and has no channel: it gives way."""


def role(me: str, peer: str) -> Role:
    """The lower id, byte for byte, offers. Ids are ASCII, so comparing text compares bytes."""
    return Role.OFFERER if me < peer else Role.ANSWERER


def on_announce(
    me: str, peer: str, *, pinned: bool, silent: bool, edge: bool, has_entry: bool, has_transport: bool
) -> Dial:
    """An announce was seen. `edge`: the network's shape wants a link to this peer."""
    if has_transport:
        return Dial.KEEP
    if pinned:
        return Dial.OFFER
    if silent or not edge:
        return Dial.NOTHING if has_entry else Dial.NOTE
    return Dial.OFFER if role(me, peer) is Role.OFFERER else Dial.WAIT


def on_command(*, has_transport: bool) -> Dial:
    """A person asked for the link: that always offers."""
    return Dial.KEEP if has_transport else Dial.OFFER


def on_intent(me: str, peer: str, *, pinned: bool, edge: bool, has_transport: bool) -> Dial:
    """A lost link is wanted back."""
    if has_transport:
        return Dial.NOTHING
    return Dial.OFFER if pinned or (edge and role(me, peer) is Role.OFFERER) else Dial.NOTHING


def on_offer(me: str, offer: OfferReceived, link: Link | None, mono: float, *, had_link: bool) -> OnOffer:
    """An offer is answered whatever role, silence and shape say; how depends on the link that there is.

    `had_link`: this device had one with the peer, now or before it was started.
    """
    device_id, sdp = offer.peer, offer.sdp
    is_later = had_link and not gives_way(offer.offer_id, device_id, me) and answered_before(sdp)
    if link is None:
        return OnOffer.OFFER_INSTEAD if is_later else OnOffer.ANSWER
    transport = link.transport
    if sdp == transport.last_remote_offer:
        return OnOffer.IGNORE
    named, known = first_fingerprint(sdp), transport.remote_fingerprint
    is_described = known is not None or transport.remote_sdp_set  # an applied description may have named none
    if is_later and named != known:
        return OnOffer.IGNORE
    if is_described and named is not None and named != known:
        is_doubtful = not offer.is_fresh and _was_just_answered(transport, mono)
        return OnOffer.HOLD if is_doubtful else OnOffer.REBUILD
    if not isinstance(link, Connecting):
        is_first = role(me, device_id) is Role.OFFERER and gives_way(offer.offer_id, device_id, me)
        return OnOffer.IGNORE if is_first and transport.has_open_restart else OnOffer.APPLY
    is_glare = transport.own_offer is not OwnOffer.NONE and not transport.remote_sdp_set
    if is_glare and role(me, device_id) is Role.OFFERER and gives_way(offer.offer_id, device_id, me):
        return OnOffer.INSIST
    if mono - transport.opened_at >= STUCK_AGE_S:
        return OnOffer.REPLACE_STUCK
    if not is_glare:
        return OnOffer.APPLY
    return OnOffer.YIELD if role(me, device_id) is Role.ANSWERER else OnOffer.HOLD


def _was_just_answered(transport: Transport, mono: float) -> bool:
    """The peer answered our offer a moment ago. An offer of another certificate is then most likely one that it gave
    up when it answered, and that a relay was slower with; a peer that really started anew waits until that is clear."""
    return transport.offerer and transport.answered_at is not None and mono < transport.answered_at + GLARE_HOLD_S


def on_unmatched_answer(me: str, peer: str, *, has_transport: bool) -> Dial:
    """Somebody answered an offer that we do not have (any more): offer again if that is our part."""
    if role(me, peer) is not Role.OFFERER:
        return Dial.NOTHING
    return Dial.KEEP if has_transport else Dial.OFFER
