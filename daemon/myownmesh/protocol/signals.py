"""What travels over signaling, in both directions (spec 04 §1.5).

Ids in these values are bare and valid: the signaling room checks them at its boundary (spec 01 §3.4).
"""

from __future__ import annotations

import msgspec

from myownmesh.protocol.schema import U16


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


class OfferReceived(msgspec.Struct, frozen=True):
    peer: str
    sdp: str
    offer_id: str = ""
    """As its sender wrote it; the answer names it."""


class AnswerReceived(msgspec.Struct, frozen=True):
    peer: str
    sdp: str
    offer_id: str = ""
    """The offer that it answers; empty from v0.3.8, which names none."""


class CandidateReceived(msgspec.Struct, frozen=True):
    peer: str
    candidate: Candidate


class PeerLeft(msgspec.Struct, frozen=True):
    peer: str


InboundSignal = PeerAnnounced | OfferReceived | AnswerReceived | CandidateReceived | PeerLeft


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


OutboundSignal = Announce | Leave | SendOffer | SendAnswer | SendCandidate
