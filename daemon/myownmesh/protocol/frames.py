"""What two peers say to each other over the data channel (spec 01 §6).

Every class is one `kind`; its members are named and ordered as on the wire, so encoding one gives the very text that a
v0.3.8 node writes. Free JSON values stay raw text (`msgspec.Raw`): the daemon passes them on and never looks inside.
Build frames freely; what comes from a peer is built by `myownmesh.protocol.codec`, which checks it.
"""

from __future__ import annotations

from typing import ClassVar, Final, Literal

import msgspec

from myownmesh.protocol.capabilities import Capabilities
from myownmesh.protocol.transitions import Transition, Variant

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


class Hello(msgspec.Struct, frozen=True, tag_field="kind", tag="hello"):
    KIND: ClassVar[str] = "hello"
    protocol: int
    device_id: str
    label: str
    nonce: str
    verification_code: str
    capabilities: Capabilities | None = None
    max_connections: int | None = None
    features: tuple[str, ...] = ()
    app_version: str | None = None


class AuthResponse(msgspec.Struct, frozen=True, tag_field="kind", tag="auth_response"):
    KIND: ClassVar[str] = "auth_response"
    signature: str


class Approve(msgspec.Struct, frozen=True, tag_field="kind", tag="approve"):
    KIND: ClassVar[str] = "approve"


class Deny(msgspec.Struct, frozen=True, tag_field="kind", tag="deny", omit_defaults=True):
    KIND: ClassVar[str] = "deny"
    reason: str | None = None
    transitions: tuple[Transition, ...] = ()
    member_log: tuple[Transition, ...] = ()


class Ping(msgspec.Struct, frozen=True, tag_field="kind", tag="ping"):
    KIND: ClassVar[str] = "ping"
    t: int
    """Unix milliseconds on the sender's wall clock."""


class Pong(msgspec.Struct, frozen=True, tag_field="kind", tag="pong"):
    KIND: ClassVar[str] = "pong"
    t: int
    """Copied from the ping."""


class Shelve(msgspec.Struct, frozen=True, tag_field="kind", tag="shelve"):
    KIND: ClassVar[str] = "shelve"
    reason: str | None = None


class Unshelve(msgspec.Struct, frozen=True, tag_field="kind", tag="unshelve"):
    KIND: ClassVar[str] = "unshelve"


class CapabilitiesUpdate(msgspec.Struct, frozen=True, tag_field="kind", tag="capabilities_update"):
    KIND: ClassVar[str] = "capabilities_update"
    capabilities: Capabilities


class RpcRequest(msgspec.Struct, frozen=True, tag_field="kind", tag="rpc_request"):
    KIND: ClassVar[str] = "rpc_request"
    request_id: str
    method: str
    payload: msgspec.Raw
    streaming: bool = False


class RpcResponse(msgspec.Struct, frozen=True, tag_field="kind", tag="rpc_response"):
    KIND: ClassVar[str] = "rpc_response"
    request_id: str
    ok: msgspec.Raw | None = None
    """None for a missing value and for `null` alike."""
    error: str | None = None
    """Wins over `ok`."""


class RpcStreamChunk(msgspec.Struct, frozen=True, tag_field="kind", tag="rpc_stream_chunk"):
    KIND: ClassVar[str] = "rpc_stream_chunk"
    request_id: str
    seq: int
    """Counts from 1."""
    payload: msgspec.Raw


class RpcStreamEnd(msgspec.Struct, frozen=True, tag_field="kind", tag="rpc_stream_end"):
    KIND: ClassVar[str] = "rpc_stream_end"
    request_id: str
    error: str | None = None


class Channel(msgspec.Struct, frozen=True, tag_field="kind", tag="channel"):
    KIND: ClassVar[str] = "channel"
    channel: str
    payload: msgspec.Raw


class ChannelSeq(msgspec.Struct, frozen=True, tag_field="kind", tag="channel_seq"):
    KIND: ClassVar[str] = "channel_seq"
    stream: int
    seq: int
    channel: str
    payload: msgspec.Raw


class ChannelAck(msgspec.Struct, frozen=True, tag_field="kind", tag="channel_ack"):
    KIND: ClassVar[str] = "channel_ack"
    stream: int
    up_to: int


class RosterSummary(msgspec.Struct, frozen=True, tag_field="kind", tag="roster_summary"):
    KIND: ClassVar[str] = "roster_summary"
    root: str
    count: int
    last_edit_ts: int
    """Unix seconds of the newest approval."""


class RosterRequest(msgspec.Struct, frozen=True, tag_field="kind", tag="roster_request"):
    KIND: ClassVar[str] = "roster_request"
    include_all: bool = False
    subtree_hashes: tuple[str, ...] = ()


class RosterEntry(msgspec.Struct, frozen=True):
    """A roster row on the wire; unlike the file it always names the role."""

    device_id: str
    label: str
    approved_at: int
    """Unix seconds."""
    role: Role
    granted_by: str = ""


class RosterEntries(msgspec.Struct, frozen=True, tag_field="kind", tag="roster_entries"):
    KIND: ClassVar[str] = "roster_entries"
    entries: tuple[RosterEntry, ...]
    transitions: tuple[Transition, ...] = ()
    member_log: tuple[Transition, ...] = ()


class NetworkState(msgspec.Struct, frozen=True, tag_field="kind", tag="network_state"):
    KIND: ClassVar[str] = "network_state"
    network_kind: NetworkKind
    transitions_count: int
    member_log_count: int
    roster_root: str


class NetworkStatePropose(msgspec.Struct, frozen=True, tag_field="kind", tag="network_state_propose"):
    KIND: ClassVar[str] = "network_state_propose"
    proposal_id: str
    variant: Variant
    proposer: str
    created_at: int
    """Unix seconds."""
    signature: str


class NetworkStateAck(msgspec.Struct, frozen=True, tag_field="kind", tag="network_state_ack"):
    KIND: ClassVar[str] = "network_state_ack"
    proposal_id: str
    signer: str
    decision: Decision
    at: int
    """Unix seconds."""
    signature: str


class NetworkStateSplit(msgspec.Struct, frozen=True, tag_field="kind", tag="network_state_split"):
    KIND: ClassVar[str] = "network_state_split"
    parent_proposal_id: str
    new_network_id: str
    members: tuple[str, ...]
    proposer: str
    at: int
    """Unix seconds."""
    signature: str


class UnknownFrame(msgspec.Struct, frozen=True):
    """A kind that this version does not know: ignored, but only behind the admission gate. Never sent."""

    KIND: ClassVar[str] = ""
    kind: str


Frame = (
    Hello
    | AuthResponse
    | Approve
    | Deny
    | Ping
    | Pong
    | Shelve
    | Unshelve
    | CapabilitiesUpdate
    | RpcRequest
    | RpcResponse
    | RpcStreamChunk
    | RpcStreamEnd
    | Channel
    | ChannelSeq
    | ChannelAck
    | RosterSummary
    | RosterRequest
    | RosterEntries
    | NetworkState
    | NetworkStatePropose
    | NetworkStateAck
    | NetworkStateSplit
    | UnknownFrame
)
