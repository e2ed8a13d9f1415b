"""What travels over signaling, in both directions (spec 04 §1.5).

Ids in these values are bare and valid: the signaling room checks them at its boundary (spec 01 §3.4).
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from myownmesh.protocol.schema import U16

TWIN_SILENCE_S: Final = 300.0
"""Another process in our name that is silent for so long is gone (spec 03 §16.1): ten announces."""


class Candidate(msgspec.Struct, frozen=True):
    """One ICE candidate as the wire carries it (spec 04 §10.6)."""

    candidate: str
    sdp_mid: str | None = None
    sdp_mline_index: U16 | None = None
    username_fragment: str | None = None


class PeerAnnounced(msgspec.Struct, frozen=True):
    peer: str
    again: bool = False
    """The same process of the peer announced itself before, as far as its throw-away key tells: no newcomer."""


class StaleAnnounce(msgspec.Struct, frozen=True):
    """The peer signed it, before something that it said later: a late copy, or its clock went back (spec 11 §2.1)."""

    peer: str


class OfferReceived(msgspec.Struct, frozen=True):
    peer: str
    sdp: str
    offer_id: str = ""
    """As its sender wrote it; the answer names it."""
    sealed: bool = False
    """Nobody but the peer can have written it."""
    is_fresh: bool = False
    """And the peer knew that this process of ours runs (spec 11 §2.2)."""


class AnswerReceived(msgspec.Struct, frozen=True):
    peer: str
    sdp: str
    offer_id: str = ""
    """The offer that it answers; empty from v0.3.8, which names none."""
    sealed: bool = False


class CandidateReceived(msgspec.Struct, frozen=True):
    peer: str
    candidate: Candidate


class PeerLeft(msgspec.Struct, frozen=True):
    peer: str
    is_signed: bool | None = None
    """By the process of the peer that announced itself last. None: by nobody, of a device that signs nothing."""


SealedKind = Literal["offer", "answer", "candidate"]


class SealedReceived(msgspec.Struct, frozen=True):
    """A message that only this device can read (spec 11 §2.2), as it came."""

    peer: str
    kind: SealedKind
    offer_id: str
    eseal: str


class TwinHeard(msgspec.Struct, frozen=True):
    """Another process speaks in our own name (spec 03 §16.1)."""

    peer: str
    """Our own id."""
    is_elder: bool | None
    """Whether one that proved to have our key was here before us; None: it says so, or somebody pretends it."""


class TwinLeft(msgspec.Struct, frozen=True):
    """The process that proved to have our key has left."""

    peer: str
    """Our own id."""


class EchoHeard(msgspec.Struct, frozen=True):
    """The room brought an announce of our own back: as late as that, what others say reaches us (spec 04 §5.8)."""

    peer: str
    """Our own id."""
    late_s: float


InboundSignal = (
    PeerAnnounced
    | StaleAnnounce
    | OfferReceived
    | AnswerReceived
    | CandidateReceived
    | PeerLeft
    | TwinHeard
    | TwinLeft
    | EchoHeard
)


class Announce(msgspec.Struct, frozen=True):
    """Tell the room that we are here."""


class Leave(msgspec.Struct, frozen=True):
    """Tell the room that we go; nothing may follow it (spec 04 §1.2)."""


class SendOffer(msgspec.Struct, frozen=True):
    peer: str
    sdp: str
    offer_id: str = ""


class SendAnswer(msgspec.Struct, frozen=True):
    peer: str
    sdp: str
    offer_id: str = ""


class SendCandidate(msgspec.Struct, frozen=True):
    peer: str
    candidate: Candidate
    offer_id: str = ""
    """The offer that it belongs to, ours or the peer's; on the wire only sealed ones name it."""


class SendSealed(msgspec.Struct, frozen=True):
    """A message that only the peer can read."""

    peer: str
    kind: SealedKind
    offer_id: str
    eseal: str


class StandAside(msgspec.Struct, frozen=True):
    """Say nothing in our own name, or speak again: another process has it (spec 03 §16.1)."""

    silent: bool


OutboundSignal = Announce | Leave | SendOffer | SendAnswer | SendCandidate | StandAside
Carried = OutboundSignal | SendSealed
"""What goes into the room; what is sealed there stands for an offer, an answer or a candidate."""
