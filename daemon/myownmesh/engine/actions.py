"""What the engine wants done. The driver carries actions out in order; none of them returns a value."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from myownmesh.engine.events import MeshEvent
    from myownmesh.protocol.frames import Frame
    from myownmesh.protocol.signals import Candidate, OutboundSignal


@frozen
class OpenSession:
    """Create the transport of a new entry. Its role (spec 04 §5.1) never changes."""

    peer: str
    epoch: int
    offerer: bool


@frozen
class MakeOffer:
    """Build an offer and set it locally; the session reports it as `LocalDescription`."""

    peer: str
    epoch: int
    restart: bool = False
    """True: new ICE credentials on the same transport (a restart offer)."""


@frozen
class TakeOffer:
    """Apply the peer's offer and answer it."""

    peer: str
    epoch: int
    sdp: str


@frozen
class TakeAnswer:
    peer: str
    epoch: int
    sdp: str


@frozen
class AddCandidate:
    peer: str
    epoch: int
    candidate: Candidate


@frozen
class CloseSession:
    peer: str
    epoch: int


@frozen
class SendFrame:
    """Send an encoded frame. When it cannot leave within 2 s the driver says `frame_lost(peer, epoch, kind)`."""

    peer: str
    epoch: int
    kind: str
    data: bytes


@frozen
class Publish:
    signal: OutboundSignal


@frozen
class RedialRelays:
    """Replace every relay connection of this network (spec 03 §8.5)."""


@frozen
class Emit:
    event: MeshEvent


@frozen
class SaveRoster:
    """The roster changed; write `engine.roster` to disk."""


@frozen
class Deliver:
    """An application frame (rpc_*, channel) of an admitted peer."""

    peer: str
    epoch: int
    frame: Frame


@frozen
class LinkUp:
    """The peer became active: calls may start."""

    peer: str
    epoch: int


@frozen
class LinkDown:
    """The entry is gone; what was under way over this epoch has failed."""

    peer: str
    epoch: int


@frozen
class WaiterDone:
    """A `connect` that waited ended; `error` is None when the peer is active."""

    waiter: int
    error: str | None


Action = (
    OpenSession
    | MakeOffer
    | TakeOffer
    | TakeAnswer
    | AddCandidate
    | CloseSession
    | SendFrame
    | Publish
    | RedialRelays
    | Emit
    | SaveRoster
    | Deliver
    | LinkUp
    | LinkDown
    | WaiterDone
)
