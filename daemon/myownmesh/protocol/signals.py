"""What travels over signaling, in both directions (spec 04 §1.5).

Ids in these values are bare and valid: the signaling room checks them at its boundary (spec 01 §3.4).
"""

from __future__ import annotations

from typing import Final

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
    PeerAnnounced | OfferReceived | AnswerReceived | CandidateReceived | PeerLeft | TwinHeard | TwinLeft | EchoHeard
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


class StandAside(msgspec.Struct, frozen=True):
    """Say nothing in our own name, or speak again: another process has it (spec 03 §16.1)."""

    silent: bool


OutboundSignal = Announce | Leave | SendOffer | SendAnswer | SendCandidate | StandAside
