"""The mesh as a library: `open_mesh` for a trio program that carries its own node.

Payloads are Python values here (anything JSON can hold); everything else is the same mesh as the daemon's, without a
control socket and without hosted services.
"""

from __future__ import annotations

import os
import random
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import trio

from mesh_common.version import VERSION
from mesh_common.views import NodeReport, ServicesReport
from myownmesh.mesh import clock
from myownmesh.mesh.embed_governance import OpenGovernance
from myownmesh.mesh.errors import MeshError
from myownmesh.mesh.mesh import Mesh
from myownmesh.mesh.outcome import outcome
from myownmesh.mesh.rooms import rooms
from myownmesh.netwatch.watch import NetWatch
from myownmesh.protocol.capabilities import Capabilities
from myownmesh.signaling.lan_access import lan_access
from myownmesh.signaling.room import app_id_of
from myownmesh.signaling.sources import RelaySources
from myownmesh.signaling.timepiece import Timepiece
from myownmesh.store import Home, open_store
from myownmesh.store.network_config import NetworkConfig, SignalingConfig
from myownmesh.transport import open_threaded_factory

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Sequence

    from mesh_common.events import MeshEvent
    from mesh_common.views import PeerInfo
    from myownmesh.custody import Enrolment
    from myownmesh.mesh.governing import Outcome
    from myownmesh.mesh.network import Network
    from myownmesh.mesh.rpc import InboundCall
    from myownmesh.store.services_config import ServicesConfig
    from myownmesh.transport.session import SessionFactory

T = TypeVar("T")

EVENT_BUFFER = 256
"""Events that one slow reader may fall behind (spec 04 §1.1)."""

CHUNK_BUFFER = 4096
"""Chunks that a reader of a stream may fall behind; a stream that outruns it ends with an error."""

READER_TOO_SLOW = "the reader of this stream is too slow"


class OpenNetwork:
    """One joined network of an embedding program."""

    def __init__(self, mesh: Mesh, network: Network, nursery: trio.Nursery) -> None:
        self._mesh = mesh
        self._network = network
        self._nursery = nursery

    @property
    def network_id(self) -> str:
        return self._network.network_id

    @property
    def phase(self) -> str:
        """`joining` until a relay answers, then `alone`, `discovering` or `active`."""
        return self._network.phase

    def peers(self) -> list[PeerInfo]:
        """Everybody that is known here, with status and verification codes."""
        return self._network.peers()

    async def approve(self, device_id: str, label: str = "", *, code: str | None = None) -> Outcome | None:
        """Admit a device; both sides must. On a closed network it is signed in or proposed: what came of that is
        returned. `code`: of the authenticator, where a lock is on. Raises `MeshError`."""
        return await self._network.approve(device_id, label, code)

    @property
    def governance(self) -> OpenGovernance:
        """Who decides here by signature."""
        return OpenGovernance(self._mesh, self._network)

    async def enroll_mfa(self) -> Enrolment:
        """Sign here only with an authenticator's code from now on. What is returned is shown once.

        Raises `MeshError`.
        """
        return await self._mesh.custody.enroll(self.network_id)

    async def mfa_enrolled(self) -> bool:
        """Whether signatures here need a code. Raises `MeshError` when that cannot be read; nothing is signed then."""
        return await self._mesh.custody.is_on(self.network_id)

    async def disable_mfa(self, code: str) -> None:
        """Take the lock off with a code of the authenticator or a recovery code. Raises `MeshError`."""
        await self._mesh.custody.disable(self.network_id, code)

    async def connect(self, device_id: str, *, timeout: float = 30.0) -> None:
        """Dial a device and wait until it is active. Raises `MeshError` when that takes more than `timeout` seconds."""
        await self._network.connect_peer(device_id, pin=False, wait_ms=round(timeout * 1000))

    async def wait_for_peer(self, status: str = "active", *, timeout: float = 30.0) -> PeerInfo:
        """Wait until a peer has this status (`pending_approval`, `active`). Raises `TooSlowError` after `timeout` s."""
        with trio.fail_after(timeout):
            async with self.events() as events:
                while True:
                    found = next((peer for peer in self.peers() if peer.status == status), None)
                    if found is not None:
                        return found
                    await anext(events)

    async def call(self, peer: str, method: str, payload: object = None, *, timeout: float = 600.0) -> Any:
        """Call a peer's method and return its answer. Raises `MeshError`, also when the link drops or time is up."""

        def start(done: Callable[[tuple[msgspec.Raw | None, str | None]], None]) -> Callable[[], None]:
            return self._network.call(
                peer, method, _raw(payload), lambda ok, error: done((ok, error)), round(timeout * 1000)
            )

        ok, error = await outcome(start)
        if error is not None:
            raise MeshError(error)
        return None if ok is None else msgspec.json.decode(ok)

    @asynccontextmanager
    async def stream(self, peer: str, method: str, payload: object = None) -> AsyncIterator[AsyncIterator[Any]]:
        """Call a peer's streaming method: `async with network.stream(…) as chunks: async for chunk in chunks`.

        The iteration raises `MeshError` when the stream ends with an error or its link drops.
        """
        stream = _InboundStream()
        cancel = self._network.call_stream(peer, method, _raw(payload), stream.chunk, stream.end)
        try:
            async with aclosing(stream.read()) as chunks:
                yield chunks
        finally:
            cancel()
            stream.close()

    def serve(self, method: str, handler: Callable[[str, Any], Awaitable[Any]]) -> None:
        """Serve `method`: `await handler(peer, payload)` returns the answer; what it raises becomes the caller's error.

        An ordinary exception text reaches the peer, so a handler should raise `MeshError` for what a peer may read.
        """

        def called(call: InboundCall) -> None:
            self._nursery.start_soon(self._answer, call, handler)

        self._network.serve(method, called, streaming=False)

    def serve_stream(self, method: str, handler: Callable[[str, Any], AsyncIterator[Any]]) -> None:
        """Serve a streaming `method`: `handler(peer, payload)` is an async generator of chunks."""

        def called(call: InboundCall) -> None:
            self._nursery.start_soon(self._answer_stream, call, handler)

        self._network.serve(method, called, streaming=True)

    async def send(self, peer: str, channel: str, payload: object) -> None:
        """Send one message on a channel to one peer, best effort. Raises `MeshError`."""
        await self._network.send_to(peer, channel, _raw(payload))

    async def broadcast(self, channel: str, payload: object) -> int:
        """Send one message on a channel to everybody; returns how many links took it."""
        return await self._network.send_all(channel, _raw(payload))

    @asynccontextmanager
    async def messages(self, channel: str) -> AsyncIterator[AsyncIterator[tuple[str, Any]]]:
        """Iterate over (sender, payload) of a channel; a reader 256 messages behind loses the newest."""
        send, receive = trio.open_memory_channel[tuple[str, msgspec.Raw]](EVENT_BUFFER)
        unlisten = self._network.listen(channel, lambda peer, payload: _offer(send, (peer, payload)))
        try:
            async with aclosing(_decoded(receive)) as messages:
                yield messages
        finally:
            unlisten()
            receive.close()
            send.close()

    @asynccontextmanager
    async def events(self) -> AsyncIterator[AsyncIterator[MeshEvent]]:
        """Iterate over this network's events; a reader 256 events behind loses the newest."""
        send, receive = trio.open_memory_channel["MeshEvent"](EVENT_BUFFER)

        def offer(event: MeshEvent) -> None:
            if event.network_id == self.network_id:
                _offer(send, event)

        unsubscribe = self._mesh.subscribe(offer)
        try:
            yield aiter(receive)
        finally:
            unsubscribe()
            receive.close()
            send.close()

    async def _answer(self, call: InboundCall, handler: Callable[[str, Any], Awaitable[Any]]) -> None:
        with _while_wanted(call):
            try:
                answer = _raw(await handler(call.peer, msgspec.json.decode(call.payload)))
            except Exception as error:  # noqa: BLE001 - whatever a handler raises is the caller's answer
                _reply(call, None, str(error) or type(error).__name__)
            else:
                _reply(call, answer, None)

    async def _answer_stream(self, call: InboundCall, handler: Callable[[str, Any], AsyncIterator[Any]]) -> None:
        with _while_wanted(call):
            try:
                async for chunk in handler(call.peer, msgspec.json.decode(call.payload)):
                    await _post_chunk(call, _raw(chunk))
            except Exception as error:  # noqa: BLE001 - whatever a handler raises is the caller's answer
                call.end(str(error) or type(error).__name__)
            else:
                call.end(None)


@asynccontextmanager
async def open_mesh(home: Path | str, *, label: str | None = None) -> AsyncIterator[OpenMesh]:
    """Run a mesh node inside this trio program: `async with open_mesh("~/.myapp/mesh") as mesh`.

    `home` is this node's data directory: identity, rosters and configuration, in the same files as the daemon's, so
    it must not be shared with a running daemon. `label` is the name that other devices see. On exit every network is
    left. Raises `StoreError` when the directory cannot be used, `AlreadyRunning` when another node has it.
    """
    with await trio.to_thread.run_sync(open_store, Home(_path(home))) as store:
        identity = await trio.to_thread.run_sync(store.load_identity)
        if label is not None and label != identity.label:
            await trio.to_thread.run_sync(store.save_label, label)
            identity = await trio.to_thread.run_sync(store.load_identity)
        rng = random.SystemRandom()
        sources = RelaySources()
        timepiece = Timepiece(clock.now, clock.steady)
        app_id = app_id_of(os.environ)
        lan = lan_access(os.environ)
        if lan is not None:
            lan.allow()
        async with open_threaded_factory(sources.addresses) as factory, trio.open_nursery() as nursery:

            async def sessions() -> SessionFactory:
                return factory

            mesh = Mesh(
                store=store,
                identity=identity,
                config=(await trio.to_thread.run_sync(store.open_config)).config,
                sessions=sessions,
                signaling=rooms(identity, app_id, rng, sources, timepiece, lan),
                services=_NoServices(),
                timepiece=timepiece,
                rng=rng,
                app_id=app_id,
            )
            await nursery.start(mesh.run)
            nursery.start_soon(NetWatch(mesh.network_changed, mesh.woken).run)
            yield OpenMesh(mesh, nursery)
            nursery.cancel_scope.cancel()


class OpenMesh:
    """A running node. Made by `open_mesh`."""

    def __init__(self, mesh: Mesh, nursery: trio.Nursery) -> None:
        self._mesh = mesh
        self._nursery = nursery

    @property
    def device_id(self) -> str:
        return self._mesh.identity.device_id

    async def join(
        self,
        network_id: str,
        *,
        relays: Sequence[str] = (),
        auto_approve: bool = False,
        label: str = "",
    ) -> OpenNetwork:
        """Join a network, or return it when it is joined already. Raises `MeshError`.

        `relays` are the relay URLs of the room; without any the built-in public ones are used.
        """
        if (joined := self._mesh.get(network_id)) is not None:
            return OpenNetwork(self._mesh, joined, self._nursery)
        signaling = SignalingConfig(servers=tuple(relays), public_fallback=not relays, mdns=False)
        record = NetworkConfig(
            id=network_id, network_id=network_id, label=label, auto_approve=auto_approve, signaling=signaling
        )
        network = await self._mesh.add_network(record)
        await network.driver.ready.wait()
        return OpenNetwork(self._mesh, network, self._nursery)

    async def leave(self, network: OpenNetwork, *, purge: bool = False) -> None:
        """Leave a network and forget its record; with `purge` its roster too."""
        await self._mesh.remove_network(network.network_id, purge=purge)


class _NoServices:
    """An embedded node hosts nothing for others."""

    def on_change(self, callback: Callable[[], None]) -> None:
        """Nothing ever changes."""

    async def apply(self, config: ServicesConfig) -> None:
        await trio.lowlevel.checkpoint()

    def report(self, *, joined: int) -> ServicesReport:
        return ServicesReport(NodeReport(enabled=True, joined=joined))

    def advert(self) -> Capabilities:
        return Capabilities(app_version=VERSION)


class _InboundStream:
    """Chunks of one stream call between the link's callback and the reading task."""

    def __init__(self) -> None:
        self._send, self._receive = trio.open_memory_channel[tuple[msgspec.Raw | None, str | None]](CHUNK_BUFFER)

    def chunk(self, payload: msgspec.Raw) -> None:
        try:
            self._send.send_nowait((payload, None))
        except trio.WouldBlock:
            self._send.close()
        except trio.ClosedResourceError:
            return  # it was too slow before; the reader learns that when it gets here

    def end(self, error: str | None) -> None:
        try:
            self._send.send_nowait((None, error))
        except (trio.WouldBlock, trio.ClosedResourceError):
            self._send.close()

    async def read(self) -> AsyncGenerator[Any, None]:
        async for payload, error in self._receive:
            if payload is not None:
                yield msgspec.json.decode(payload)
            elif error is not None:
                raise MeshError(error)
            else:
                return
        raise MeshError(READER_TOO_SLOW)

    def close(self) -> None:
        self._receive.close()
        self._send.close()


def _path(home: Path | str) -> Path:
    return Path(os.path.expanduser(home))  # noqa: PTH111 - a user that is not there is no exception here


def _raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))


def _offer(send: trio.MemorySendChannel[T], item: T) -> None:
    """Hand an item to a reader; one that is too far behind loses it, as any slow subscriber does."""
    with suppress(trio.WouldBlock):
        send.send_nowait(item)


async def _decoded(
    receive: trio.MemoryReceiveChannel[tuple[str, msgspec.Raw]],
) -> AsyncGenerator[tuple[str, Any], None]:
    async for peer, payload in receive:
        yield peer, msgspec.json.decode(payload)


def _reply(call: InboundCall, ok: msgspec.Raw | None, error: str | None) -> None:
    if not call.closed:
        with suppress(MeshError):  # an answer that does not fit: the peer has been told instead
            call.respond(ok, error)


async def _post_chunk(call: InboundCall, payload: msgspec.Raw) -> None:
    if (error := await outcome(partial(call.post_chunk, payload))) is not None:
        raise MeshError(error)


@contextmanager
def _while_wanted(call: InboundCall) -> Iterator[None]:
    """Cancel the handler when its caller's link drops."""
    with trio.CancelScope() as scope:
        call.on_gone = scope.cancel
        yield
