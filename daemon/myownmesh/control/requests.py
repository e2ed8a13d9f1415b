"""What a client can ask: one class per op that this release serves (spec 05 §7–§14).

The members of a class are the op's members, its defaults are those of absent members, its struct tag is the op's name.
`decoding` turns a line into one of these; free JSON values stay raw text.
"""

from __future__ import annotations

from typing import NewType

from msgspec import UNSET, Raw, Struct, UnsetType

from myownmesh.protocol.capabilities import Capabilities
from myownmesh.store.config import NetworkConfig, ServicesConfig

ClientId = NewType("ClientId", int)
"""Number of an event connection; ``c<number>`` on the wire."""

Milliseconds = NewType("Milliseconds", int)
"""Unsigned, 64 bits on the wire."""


class Request(Struct, tag_field="op", frozen=True):
    """Base of all requests."""


# ── this device ──────────────────────────────────────────────────────────────────────────────────────────────


class Status(Request, tag="status", frozen=True):
    pass


class IdentityShow(Request, tag="identity_show", frozen=True):
    pass


class IdentitySetLabel(Request, tag="identity_set_label", frozen=True):
    label: str


class NetworkIdGenerate(Request, tag="network_id_generate", frozen=True):
    pass


class NetworkIdNormalize(Request, tag="network_id_normalize", frozen=True):
    input: str


class ConfigShow(Request, tag="config_show", frozen=True):
    pass


class ServicesStatus(Request, tag="services_status", frozen=True):
    pass


class ServicesSet(Request, tag="services_set", frozen=True):
    services: ServicesConfig


# ── networks ─────────────────────────────────────────────────────────────────────────────────────────────────


class NetworksList(Request, tag="networks_list", frozen=True):
    pass


class NetworkAdd(Request, tag="network_add", frozen=True):
    config: NetworkConfig


class NetworkUpdate(Request, tag="network_update", frozen=True):
    config: NetworkConfig
    given: frozenset[str] = frozenset()
    """Not a member of the request: the members that `config` really had, those of `signaling` as ``signaling.<name>``.
    An update leaves some of what was not mentioned alone (spec 05 W23)."""


class NetworkRemove(Request, tag="network_remove", frozen=True):
    network: str
    purge: bool = False


class NetworkReconnect(Request, tag="network_reconnect", frozen=True):
    network: str
    peer: str | None = None


class NetworkConnectPeer(Request, tag="network_connect_peer", frozen=True):
    network: str
    peer: str
    pin: bool = False
    wait_ms: Milliseconds = Milliseconds(0)


class TopologySet(Request, tag="topology_set", frozen=True):
    network: str
    topology: str
    hub: str | None = None


class CapabilitiesSet(Request, tag="capabilities_set", frozen=True):
    network: str
    capabilities: Capabilities


# ── peers and roster ─────────────────────────────────────────────────────────────────────────────────────────


class PeersList(Request, tag="peers_list", frozen=True):
    network: str


class RosterList(Request, tag="roster_list", frozen=True):
    network: str


class RosterApprove(Request, tag="roster_approve", frozen=True):
    network: str
    device_id: str
    label: str | None = None


class RosterRemove(Request, tag="roster_remove", frozen=True):
    network: str
    device_id: str


# ── events, calls, channels ──────────────────────────────────────────────────────────────────────────────────


class EventsSubscribe(Request, tag="events_subscribe", frozen=True):
    pass


class RpcRegister(Request, tag="rpc_register", frozen=True):
    client_id: ClientId
    network: str
    method: str
    streaming: bool


class RpcUnregister(Request, tag="rpc_unregister", frozen=True):
    client_id: ClientId
    network: str
    method: str


class RpcRespond(Request, tag="rpc_respond", frozen=True):
    request_id: str
    ok: Raw | UnsetType = UNSET
    error: str | None = None


class RpcStreamChunk(Request, tag="rpc_stream_chunk", frozen=True):
    request_id: str
    payload: Raw


class RpcStreamEnd(Request, tag="rpc_stream_end", frozen=True):
    request_id: str
    error: str | None = None


class RpcCall(Request, tag="rpc_call", frozen=True):
    network: str
    peer: str
    method: str
    payload: Raw
    timeout_ms: Milliseconds | None = None


class RpcCallStream(Request, tag="rpc_call_stream", frozen=True):
    client_id: ClientId
    network: str
    peer: str
    method: str
    payload: Raw


class ChannelSubscribe(Request, tag="channel_subscribe", frozen=True):
    client_id: ClientId
    network: str
    channel: str


class ChannelUnsubscribe(Request, tag="channel_unsubscribe", frozen=True):
    client_id: ClientId
    network: str
    channel: str


class ChannelSendTo(Request, tag="channel_send_to", frozen=True):
    network: str
    channel: str
    peer: str
    payload: Raw


class ChannelSendAll(Request, tag="channel_send_all", frozen=True):
    network: str
    channel: str
    payload: Raw
