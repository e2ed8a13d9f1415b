"""What the engine wants done. The driver carries actions out in order; none of them returns a value."""

from __future__ import annotations

import msgspec

from mesh_common.events import Level, MeshEvent
from myownmesh.protocol.frames import Frame
from myownmesh.protocol.introduction import Introduction
from myownmesh.protocol.signals import Candidate, OutboundSignal

Hop = tuple[str, int]
"""A link: the peer's device id and the epoch."""


class OpenSession(msgspec.Struct, frozen=True):
    """Create the transport of a new entry. Its role (spec 04 §5.1) never changes."""

    peer: str
    epoch: int
    offerer: bool


class MakeOffer(msgspec.Struct, frozen=True):
    """Build an offer and set it locally; the session reports it as `LocalDescription`."""

    peer: str
    epoch: int
    restart: bool = False
    """True: new ICE credentials on the same transport (a restart offer)."""


class TakeOffer(msgspec.Struct, frozen=True):
    """Apply the peer's offer and answer it."""

    peer: str
    epoch: int
    sdp: str


class TakeAnswer(msgspec.Struct, frozen=True):
    peer: str
    epoch: int
    sdp: str


class AddCandidate(msgspec.Struct, frozen=True):
    peer: str
    epoch: int
    candidate: Candidate


class CloseSession(msgspec.Struct, frozen=True):
    peer: str
    epoch: int


class DescribePaths(msgspec.Struct, frozen=True):
    """Say in the diagnostics how ICE stands there: `paths_described` follows at once. Asked for only while somebody
    reads them, and before the session is closed."""

    peer: str
    epoch: int
    context: str
    level: Level


class SendFrame(msgspec.Struct, frozen=True):
    """Send an encoded frame. When it cannot leave within 2 s the driver says `frame_lost(peer, epoch, kind)`."""

    peer: str
    epoch: int
    kind: str
    data: bytes


class SendReliable(msgspec.Struct, frozen=True):
    """Send an encoded frame behind those that wait on its link; say `reliable_left` when it took it or did not."""

    peer: str
    epoch: int
    kind: str
    data: bytes
    seq: int


class SendDone(msgspec.Struct, frozen=True):
    """A reliable send ended; `error` is None when the peer has it."""

    ticket: int
    error: str | None


class Publish(msgspec.Struct, frozen=True):
    signal: OutboundSignal


class SetPace(msgspec.Struct, frozen=True):
    """How often the room is to be told that we are here while nothing happens."""

    quiet: bool
    """Seldom: nobody is missed."""


class RedialRelays(msgspec.Struct, frozen=True):
    """Replace every relay connection of this network (spec 03 §8.5). `signaling_is_up` follows for each that works."""

    if_mute: bool = False
    """Only those that do not answer a ping. Who hosts a relay may take the end of a connection for our departure."""


class Emit(msgspec.Struct, frozen=True):
    event: MeshEvent


class SaveRoster(msgspec.Struct, frozen=True):
    """The roster changed; write `engine.roster` to disk."""


class SaveBook(msgspec.Struct, frozen=True):
    """What this device holds of signed governance changed; write `engine.book` to disk, once a second at most."""


class Deliver(msgspec.Struct, frozen=True):
    """An application frame (rpc_*, channel) of an admitted peer."""

    peer: str
    epoch: int
    frame: Frame


class Forward(msgspec.Struct, frozen=True):
    """Pass a channel frame on: over all of these links, or over the first that takes it."""

    hops: tuple[Hop, ...]
    data: bytes
    to_all: bool


class Knock(msgspec.Struct, frozen=True):
    """A device that nobody has approved has proved itself and shows an invitation; `approve` is the answer, if any."""

    peer: str
    epoch: int
    introduction: Introduction
    binding: str
    """Of the certificate that it presented in DTLS."""
    label: str


class LinkUp(msgspec.Struct, frozen=True):
    """The peer is admitted over this epoch: it may be trusted with more of our memory."""

    peer: str
    epoch: int


class LinkDown(msgspec.Struct, frozen=True):
    """The entry is gone; what was under way over this epoch has failed."""

    peer: str
    epoch: int


class WaiterDone(msgspec.Struct, frozen=True):
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
    | DescribePaths
    | SendFrame
    | SendReliable
    | SendDone
    | Publish
    | SetPace
    | RedialRelays
    | Emit
    | SaveRoster
    | SaveBook
    | Deliver
    | Forward
    | Knock
    | LinkUp
    | LinkDown
    | WaiterDone
)
