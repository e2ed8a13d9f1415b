"""Who dials whom, as pure functions (spec 04 §5.1, §5.3 step 8, §6.4, §6.5)."""

from __future__ import annotations

from enum import Enum


class Role(Enum):
    OFFERER = "Offerer"
    ANSWERER = "Answerer"


class Dial(Enum):
    """What to do about a peer that there may be reason to dial."""

    OFFER = "open_as_offerer"
    ANSWER = "open_as_answerer"
    """Answer the offer that is at hand."""
    WAIT = "wait_for_offer"
    """Note the peer; its lower id dials, and we do when it does not."""
    NOTE = "note_sighted"
    """List the peer; nobody dials on presence here."""
    KEEP = "keep"
    NOTHING = "nothing"


def role(me: str, peer: str) -> Role:
    """The lower id, byte for byte, offers. Ids are ASCII, so comparing text compares bytes."""
    return Role.OFFERER if me < peer else Role.ANSWERER


def on_announce(me: str, peer: str, *, pinned: bool, silent: bool, has_entry: bool, has_transport: bool) -> Dial:
    """An announce was seen. Any member may be dialled: shapes that say otherwise are not built yet."""
    if has_transport:
        return Dial.KEEP
    if pinned:
        return Dial.OFFER
    if silent:
        return Dial.NOTHING if has_entry else Dial.NOTE
    return Dial.OFFER if role(me, peer) is Role.OFFERER else Dial.WAIT


def on_command(*, has_transport: bool) -> Dial:
    """A person asked for the link: that always offers."""
    return Dial.KEEP if has_transport else Dial.OFFER


def on_intent(me: str, peer: str, *, pinned: bool, has_transport: bool) -> Dial:
    """A lost link is wanted back."""
    if has_transport:
        return Dial.NOTHING
    return Dial.OFFER if pinned or role(me, peer) is Role.OFFERER else Dial.NOTHING


def on_offer(*, has_transport: bool) -> Dial:
    """An offer is answered whatever role, silence and shape say."""
    return Dial.KEEP if has_transport else Dial.ANSWER


def on_unmatched_answer(me: str, peer: str, *, has_transport: bool) -> Dial:
    """Somebody answered an offer that we do not have (any more): offer again if that is our part."""
    if role(me, peer) is not Role.OFFERER:
        return Dial.NOTHING
    return Dial.KEEP if has_transport else Dial.OFFER
