"""Ops that carry application data: calls and channels (spec 05 §12, §13).

These are the frequent ones: they answer within the call into the mesh whenever the link takes the frame at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import UNSET

from mesh_common.answers import (
    CallResolved,
    ChannelSubscribed,
    ChannelUnsubscribed,
    ChunkDelivered,
    MessageDelivered,
    MessageDispatched,
    MessageSent,
    MethodRegistered,
    MethodReleased,
    StreamClosed,
    StreamStarted,
)
from myownmesh.control import answers
from myownmesh.control.answers import failure, success
from myownmesh.control.claims import Claim
from myownmesh.control.clients import MAX_STREAMS_PER_CLIENT
from myownmesh.control.pushed import RpcCallStreamChunk, RpcCallStreamEnd
from myownmesh.control.withdrawal import name_of, take_back
from myownmesh.mesh.errors import MeshError

if TYPE_CHECKING:
    from collections.abc import Callable

    from msgspec import Raw

    from myownmesh.control import requests
    from myownmesh.control.control import Control
    from myownmesh.control.reply import Reply
    from myownmesh.mesh.network import Network

_REGISTERED = success(MethodRegistered())
_RESOLVED = success(CallResolved())
_DELIVERED = success(ChunkDelivered())
_SUBSCRIBED = success(ChannelSubscribed())
_UNSUBSCRIBED = success(ChannelUnsubscribed())
_SENT = success(MessageSent())
_ARRIVED = success(MessageDelivered())


# ── calls that peers make here ────────────────────────────────────────────────────────────────────────────────────────


def rpc_register(control: Control, request: requests.RpcRegister) -> bytes:
    client = control.clients.find(request.client_id)
    network = control.find(request.network)
    control.claims.register(network, Claim(client, request.network, request.method, request.streaming))
    return _REGISTERED


def rpc_unregister(control: Control, request: requests.RpcUnregister) -> bytes:
    client = control.clients.get(request.client_id)
    released = client is not None and control.claims.release(
        control.find_joined(request.network), client, request.network, request.method
    )
    return success(MethodReleased(released))


def rpc_respond(control: Control, request: requests.RpcRespond) -> bytes:
    ok = None if request.ok is UNSET else request.ok
    control.calls.respond(request.request_id, ok, request.error)
    return _RESOLVED


def rpc_stream_chunk(control: Control, request: requests.RpcStreamChunk, reply: Reply) -> None:
    def done(error: str | None) -> None:
        reply.send(_DELIVERED if error is None else failure(error))

    control.calls.chunk(request.request_id, request.payload, done)


def rpc_stream_end(control: Control, request: requests.RpcStreamEnd) -> bytes:
    return success(StreamClosed(control.calls.end(request.request_id, request.error)))


# ── our calls ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def rpc_call(control: Control, request: requests.RpcCall, reply: Reply) -> None:
    def done(ok: Raw | None, error: str | None) -> None:
        reply.send(answers.response(ok) if error is None else failure(error))

    network = control.find(request.network)
    # Zero means unset, as in the other ops with a time; the mesh has a ceiling of its own.
    cancel = network.call(request.peer, request.method, request.payload, done, request.timeout_ms or None)
    reply.abandon = _leaving(network, request.peer, request.payload, cancel)


def _leaving(network: Network, peer: str, payload: Raw, cancel: Callable[[], None]) -> Callable[[], None]:
    """What ends a call whose program has gone, here and at the peer."""
    name = name_of(payload)
    if not name:
        return cancel

    def leave() -> None:
        cancel()
        take_back(network, peer, name)

    return leave


def rpc_call_stream(control: Control, request: requests.RpcCallStream) -> bytes:
    client = control.clients.find(request.client_id)
    network = control.find(request.network)
    if len(client.streams) >= MAX_STREAMS_PER_CLIENT:
        raise MeshError(f"too many stream calls under way for this client (at most {MAX_STREAMS_PER_CLIENT})")
    request_id = control.new_stream_id()

    def on_chunk(payload: Raw) -> None:
        client.sink.direct(RpcCallStreamChunk(request_id, payload).line())

    def on_end(error: str | None) -> None:
        client.streams.pop(request_id, None)
        ended.append(True)
        client.sink.direct(RpcCallStreamEnd(request_id, error).line())

    ended: list[bool] = []
    cancel = network.call_stream(request.peer, request.method, request.payload, on_chunk, on_end)
    leave = _leaving(network, request.peer, request.payload, cancel)
    if not ended:
        client.streams[request_id] = leave
    return success(StreamStarted(request_id))


# ── channels ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def channel_subscribe(control: Control, request: requests.ChannelSubscribe) -> bytes:
    client = control.clients.find(request.client_id)
    network = control.find(request.network)
    control.subscriptions.subscribe(network, client, request.network, request.channel)
    return _SUBSCRIBED


def channel_unsubscribe(control: Control, request: requests.ChannelUnsubscribe) -> bytes:
    client = control.clients.get(request.client_id)
    if client is not None:
        network = control.find_joined(request.network)
        control.subscriptions.unsubscribe(network, client, request.network, request.channel)
    return _UNSUBSCRIBED


def channel_send_to(control: Control, request: requests.ChannelSendTo, reply: Reply) -> None:
    def done(error: str | None) -> None:
        reply.send(_SENT if error is None else failure(error))

    control.find(request.network).post_to(request.peer, request.channel, request.payload, done)


def channel_send_reliable(control: Control, request: requests.ChannelSendReliable, reply: Reply) -> None:
    def done(error: str | None) -> None:
        reply.send(_ARRIVED if error is None else failure(error))

    ttl_s = request.ttl_ms / 1000
    control.find(request.network).post_reliable(request.peer, request.channel, request.payload, ttl_s, done)


def channel_send_all(control: Control, request: requests.ChannelSendAll, reply: Reply) -> None:
    def done(count: int) -> None:
        reply.send(success(MessageDispatched(count)))

    control.find(request.network).post_all(request.channel, request.payload, done)
