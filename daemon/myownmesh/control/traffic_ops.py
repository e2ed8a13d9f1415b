"""Ops that carry application data: calls and channels (spec 05 §12, §13).

These are the frequent ones: they answer within the call into the mesh whenever the link takes the frame at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import UNSET, Raw, UnsetType

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
from myownmesh.control.request import ClientId, Deferred, Immediate, Milliseconds, Request
from myownmesh.control.withdrawal import name_of, take_back
from myownmesh.mesh.errors import MeshError
from myownmesh.protocol.schema import U64

if TYPE_CHECKING:
    from collections.abc import Callable

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


# ── connections that become streams: what they then carry is the connection's business ────────────────────────────────


class EventsSubscribe(Request, frozen=True):
    pass


class TraceSubscribe(Request, frozen=True):
    network: str


# ── calls that peers make here ────────────────────────────────────────────────────────────────────────────────────────


class RpcRegister(Immediate, frozen=True):
    client_id: ClientId
    network: str
    method: str
    streaming: bool

    def answer(self, control: Control) -> bytes:
        client = control.clients.find(self.client_id)
        network = control.find(self.network)
        control.claims.register(network, Claim(client, self.network, self.method, self.streaming))
        return _REGISTERED


class RpcUnregister(Immediate, frozen=True):
    client_id: ClientId
    network: str
    method: str

    def answer(self, control: Control) -> bytes:
        client = control.clients.get(self.client_id)
        released = client is not None and control.claims.release(
            control.find_joined(self.network), client, self.network, self.method
        )
        return success(MethodReleased(released))


class RpcRespond(Immediate, frozen=True):
    request_id: str
    ok: Raw | UnsetType = UNSET
    error: str | None = None

    def answer(self, control: Control) -> bytes:
        ok = None if self.ok is UNSET else self.ok
        control.calls.respond(self.request_id, ok, self.error)
        return _RESOLVED


class RpcStreamChunk(Deferred, frozen=True):
    request_id: str
    payload: Raw

    def begin(self, control: Control, reply: Reply) -> None:
        def done(error: str | None) -> None:
            reply.send(_DELIVERED if error is None else failure(error))

        control.calls.chunk(self.request_id, self.payload, done)


class RpcStreamEnd(Immediate, frozen=True):
    request_id: str
    error: str | None = None

    def answer(self, control: Control) -> bytes:
        return success(StreamClosed(control.calls.end(self.request_id, self.error)))


# ── our calls ─────────────────────────────────────────────────────────────────────────────────────────────────────────


class RpcCall(Deferred, frozen=True):
    network: str
    peer: str
    method: str
    payload: Raw
    timeout_ms: Milliseconds | None = None

    def begin(self, control: Control, reply: Reply) -> None:
        def done(ok: Raw | None, error: str | None) -> None:
            reply.send(answers.response(ok) if error is None else failure(error))

        network = control.find(self.network)
        # Zero means unset, as in the other ops with a time; the mesh has a ceiling of its own.
        cancel = network.call(self.peer, self.method, self.payload, done, self.timeout_ms or None)
        reply.abandon = _leaving(network, self.peer, self.payload, cancel)


def _leaving(network: Network, peer: str, payload: Raw, cancel: Callable[[], None]) -> Callable[[], None]:
    """What ends a call whose program has gone, here and at the peer."""
    name = name_of(payload)
    if not name:
        return cancel

    def leave() -> None:
        cancel()
        take_back(network, peer, name)

    return leave


class RpcCallStream(Immediate, frozen=True):
    client_id: ClientId
    network: str
    peer: str
    method: str
    payload: Raw

    def answer(self, control: Control) -> bytes:
        client = control.clients.find(self.client_id)
        network = control.find(self.network)
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
        cancel = network.call_stream(self.peer, self.method, self.payload, on_chunk, on_end)
        leave = _leaving(network, self.peer, self.payload, cancel)
        if not ended:
            client.streams[request_id] = leave
        return success(StreamStarted(request_id))


# ── channels ──────────────────────────────────────────────────────────────────────────────────────────────────────────


class ChannelSubscribe(Immediate, frozen=True):
    client_id: ClientId
    network: str
    channel: str

    def answer(self, control: Control) -> bytes:
        client = control.clients.find(self.client_id)
        network = control.find(self.network)
        control.subscriptions.subscribe(network, client, self.network, self.channel)
        return _SUBSCRIBED


class ChannelUnsubscribe(Immediate, frozen=True):
    client_id: ClientId
    network: str
    channel: str

    def answer(self, control: Control) -> bytes:
        client = control.clients.get(self.client_id)
        if client is not None:
            network = control.find_joined(self.network)
            control.subscriptions.unsubscribe(network, client, self.network, self.channel)
        return _UNSUBSCRIBED


class ChannelSendTo(Deferred, frozen=True):
    network: str
    channel: str
    peer: str
    payload: Raw

    def begin(self, control: Control, reply: Reply) -> None:
        def done(error: str | None) -> None:
            reply.send(_SENT if error is None else failure(error))

        control.find(self.network).post_to(self.peer, self.channel, self.payload, done)


class ChannelSendReliable(Deferred, frozen=True):
    network: str
    channel: str
    peer: str
    payload: Raw
    ttl_ms: U64 = 0
    """0 means the reference's minute."""

    def begin(self, control: Control, reply: Reply) -> None:
        def done(error: str | None) -> None:
            reply.send(_ARRIVED if error is None else failure(error))

        ttl_s = self.ttl_ms / 1000
        control.find(self.network).post_reliable(self.peer, self.channel, self.payload, ttl_s, done)


class ChannelSendAll(Deferred, frozen=True):
    network: str
    channel: str
    payload: Raw

    def begin(self, control: Control, reply: Reply) -> None:
        def done(count: int) -> None:
            reply.send(success(MessageDispatched(count)))

        control.find(self.network).post_all(self.channel, self.payload, done)
