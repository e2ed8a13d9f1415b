"""What two peers say to each other over the data channel (spec 01 §6).

Every class is one `kind`; its members are named and ordered as on the wire, so encoding one gives the very text that a
v0.3.8 node writes. Nothing else has to be said of a kind: `myownmesh.protocol.codec` derives from the class how it is
read, the counters and the admission gate ask it what it is. Free JSON values stay raw text (`msgspec.Raw`): the daemon
passes them on and never looks inside. Build frames freely; what comes from a peer is built by the codec, which checks
it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Final, Literal

from msgspec import UNSET, Raw, Struct, UnsetType

from myownmesh.protocol.capabilities import Capabilities
from myownmesh.protocol.schema import I64, U32, U64, Absent, tag_by_name
from myownmesh.protocol.transitions import Transition, Variant

if TYPE_CHECKING:
    from collections.abc import Mapping

PROTOCOL: Final = 1
"""`hello.protocol`; every version so far sends 1 and nobody checks it."""

FEATURES: Final = (
    "ring_topology",
    "generic_rpc",
    "typed_channels",
    "capabilities_update",
    "network_state_v1",
    "reliable_channels_v1",
)
"""`hello.features` of a node that understands every frame of this module (spec 01 §6.6)."""

Role = Literal["member", "controller", "owner"]
NetworkKind = Literal["open", "closed", "silent"]
Decision = Literal["sign", "deny"]
TrafficClass = Literal["keepalive", "control", "gossip", "app", "other"]


class Frame(Struct, frozen=True, tag_field="kind", tag=tag_by_name):
    """Base of all frames. The name of a class is its kind: ``RpcRequest`` is ``rpc_request``."""

    KIND: ClassVar[str]
    TRAFFIC: ClassVar[TrafficClass]
    """The counter that it belongs to (spec 01 §17.5)."""
    GATED: ClassVar[bool] = True
    """Whether only an admitted peer may send it (spec 01 §5)."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "KIND" not in vars(cls):
            cls.KIND = tag_by_name(cls.__name__)


class Hello(Frame, frozen=True):
    TRAFFIC = "control"
    GATED = False
    protocol: U32
    device_id: str
    label: Annotated[str, Absent("")]
    nonce: str
    verification_code: str
    capabilities: Capabilities | None = None
    max_connections: U32 | None = None
    features: tuple[str, ...] = ()
    app_version: str | None = None


class AuthResponse(Frame, frozen=True):
    TRAFFIC = "control"
    GATED = False
    signature: str


class Approve(Frame, frozen=True):
    TRAFFIC = "control"
    GATED = False


class Deny(Frame, frozen=True, omit_defaults=True):
    TRAFFIC = "control"
    GATED = False
    reason: str | None = None
    transitions: tuple[Transition, ...] = ()
    member_log: tuple[Transition, ...] = ()


class Ping(Frame, frozen=True):
    TRAFFIC = "keepalive"
    t: I64
    """Unix milliseconds on the sender's wall clock."""


class Pong(Frame, frozen=True):
    TRAFFIC = "keepalive"
    t: I64
    """Copied from the ping."""


class Shelve(Frame, frozen=True):
    TRAFFIC = "control"
    reason: str | None = None


class Unshelve(Frame, frozen=True):
    TRAFFIC = "control"


class CapabilitiesUpdate(Frame, frozen=True):
    TRAFFIC = "control"
    capabilities: Capabilities


class RpcRequest(Frame, frozen=True):
    TRAFFIC = "app"
    request_id: str
    method: str
    payload: Raw
    streaming: bool = False


class RpcResponse(Frame, frozen=True):
    TRAFFIC = "app"
    request_id: str
    ok: Raw | None = None
    """None for a missing value and for `null` alike."""
    error: str | None = None
    """Wins over `ok`."""


class RpcStreamChunk(Frame, frozen=True):
    TRAFFIC = "app"
    request_id: str
    seq: U64
    """Counts from 1."""
    payload: Raw


class RpcStreamEnd(Frame, frozen=True):
    TRAFFIC = "app"
    request_id: str
    error: str | None = None


class Channel(Frame, frozen=True):
    TRAFFIC = "app"
    channel: str
    payload: Raw


class ChannelSeq(Frame, frozen=True):
    TRAFFIC = "app"
    stream: U64
    seq: U64
    channel: str
    payload: Raw


class ChannelAck(Frame, frozen=True):
    TRAFFIC = "app"
    stream: U64
    up_to: U64


class RosterSummary(Frame, frozen=True):
    TRAFFIC = "gossip"
    root: str
    count: U32
    last_edit_ts: U64
    """Unix seconds of the newest approval."""


class RosterRequest(Frame, frozen=True):
    TRAFFIC = "gossip"
    include_all: bool = False
    subtree_hashes: tuple[str, ...] = ()


class RosterEntry(Struct, frozen=True):
    """A roster row on the wire; unlike the file it always names the role."""

    device_id: str
    label: str
    approved_at: U64
    """Unix seconds."""
    role: Role
    granted_by: str = ""


class RosterEntries(Frame, frozen=True):
    TRAFFIC = "gossip"
    entries: tuple[RosterEntry, ...]
    transitions: tuple[Transition, ...] = ()
    member_log: tuple[Transition, ...] = ()
    vouched: bool | UnsetType = UNSET
    """The sender is sure of every copy in here (02 §24.3 no. 44); v0.3.8 neither writes nor reads it."""


class NetworkState(Frame, frozen=True):
    TRAFFIC = "gossip"
    network_kind: NetworkKind
    transitions_count: U32
    member_log_count: Annotated[U32, Absent(0)]
    roster_root: str
    log_digest: str | UnsetType = UNSET
    """Which governance log it is (02 §24.3 no. 46); v0.3.8 neither writes nor reads it."""


class NetworkStatePropose(Frame, frozen=True):
    TRAFFIC = "gossip"
    proposal_id: str
    variant: Variant
    proposer: str
    created_at: U64
    """Unix seconds."""
    signature: str


class NetworkStateAck(Frame, frozen=True):
    TRAFFIC = "gossip"
    proposal_id: str
    signer: str
    decision: Decision
    at: U64
    """Unix seconds."""
    signature: str


class NetworkStateSplit(Frame, frozen=True):
    TRAFFIC = "gossip"
    parent_proposal_id: str
    new_network_id: str
    members: tuple[str, ...]
    proposer: str
    at: U64
    """Unix seconds."""
    signature: str


class UnknownFrame(Frame, frozen=True, tag=False, tag_field=None):
    """A kind that this version does not know: ignored, but only behind the admission gate. Never sent."""

    KIND = ""
    TRAFFIC = "other"
    kind: str


KINDS: Final[Mapping[str, type[Frame]]] = {
    cls.KIND: cls
    for cls in list(vars().values())
    if isinstance(cls, type) and issubclass(cls, Frame) and cls not in (Frame, UnknownFrame)
}
"""Every kind of this version, by name."""
