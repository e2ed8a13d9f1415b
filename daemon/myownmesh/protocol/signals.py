"""What travels over signaling, in both directions (spec 04 §1.5).

Ids in these values are bare and valid: the signaling room checks them at its boundary (spec 01 §3.4).
"""

from __future__ import annotations

from attrs import frozen


@frozen
class Candidate:
    """One ICE candidate as the wire carries it (spec 04 §10.6)."""

    candidate: str
    sdp_mid: str | None = None
    sdp_mline_index: int | None = None
    username_fragment: str | None = None


@frozen
class PeerAnnounced:
    peer: str


@frozen
class OfferReceived:
    peer: str
    sdp: str


@frozen
class AnswerReceived:
    peer: str
    sdp: str


@frozen
class CandidateReceived:
    peer: str
    candidate: Candidate


@frozen
class PeerLeft:
    peer: str


InboundSignal = PeerAnnounced | OfferReceived | AnswerReceived | CandidateReceived | PeerLeft


@frozen
class Announce:
    """Tell the room that we are here."""


@frozen
class Leave:
    """Tell the room that we go; nothing may follow it (spec 04 §1.2)."""


@frozen
class SendOffer:
    peer: str
    sdp: str


@frozen
class SendAnswer:
    peer: str
    sdp: str


@frozen
class SendCandidate:
    peer: str
    candidate: Candidate


OutboundSignal = Announce | Leave | SendOffer | SendAnswer | SendCandidate
