"""What a WebRTC session reports to the engine.

One session carries one epoch; the driver adds peer and epoch when it hands an event over, and the engine drops
what carries an old one (spec 04 §2).
"""

from __future__ import annotations

from enum import Enum

import msgspec

from myownmesh.protocol.signals import Candidate


class SdpType(Enum):
    OFFER = "offer"
    ANSWER = "answer"


class PathState(Enum):
    """ICE state of a generation, in the words of the reference (spec 04 §9.5)."""

    NEW = "New"
    CHECKING = "Checking"
    CONNECTED = "Connected"
    COMPLETED = "Completed"
    DISCONNECTED = "Disconnected"
    FAILED = "Failed"
    CLOSED = "Closed"

    @property
    def is_up(self) -> bool:
        return self in (PathState.CONNECTED, PathState.COMPLETED)

    @property
    def is_down(self) -> bool:
        """It worked, and does not any more."""
        return self in (PathState.DISCONNECTED, PathState.FAILED, PathState.CLOSED)


class LocalDescription(msgspec.Struct, frozen=True):
    """An offer or answer of ours is ready to be sent; it precedes the candidates gathered for it."""

    type: SdpType
    sdp: str


class LocalCandidate(msgspec.Struct, frozen=True):
    candidate: Candidate


class CandidateRejected(msgspec.Struct, frozen=True):
    """A candidate of the peer is no candidate that could be used."""

    candidate: str
    error: str


class GatheringDone(msgspec.Struct, frozen=True):
    """No local candidate follows."""

    left_out: tuple[str, ...] = ()
    """Addresses of this machine that were not offered, each with its reason, for people."""


class NegotiationFailed(msgspec.Struct, frozen=True):
    """Building or applying a description failed; the session stays as it was."""

    type: SdpType
    local: bool
    """True: ours could not be built. False: the peer's could not be applied."""
    error: str


class RemoteApplied(msgspec.Struct, frozen=True):
    """The peer's description was applied; `fingerprint` is its first line (spec 04 §5.4), None if it has none."""

    type: SdpType
    fingerprint: str | None


class ChannelOpened(msgspec.Struct, frozen=True):
    """The data channel is open.

    `local_binding` and `remote_binding` are channel bindings (spec 01 §3.3). `remote_binding` comes from the
    certificate that the peer presented in DTLS and is None when the peer's SDP says anything else.
    """

    local_binding: str | None
    remote_binding: str | None


class ChannelClosed(msgspec.Struct, frozen=True):
    """The data channel, SCTP or DTLS ended; final for this session."""

    reason: str


class PathChanged(msgspec.Struct, frozen=True):
    """The state of the newest generation or of the one before it is another one."""

    state: PathState
    fallback: PathState | None = None
    """Of the older generation that carries what is sent, while the newest has not found a path."""


class PairSelected(msgspec.Struct, frozen=True):
    """Candidate kinds of the selected pair: host, server_reflexive, peer_reflexive, relay or unknown."""

    local: str
    remote: str


LinkEvent = (
    LocalDescription
    | LocalCandidate
    | CandidateRejected
    | GatheringDone
    | NegotiationFailed
    | RemoteApplied
    | ChannelOpened
    | ChannelClosed
    | PathChanged
    | PairSelected
)
