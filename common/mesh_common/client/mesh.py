"""`connect`: a program's way into the mesh, for trio and asyncio, which outlives restarts of the daemon."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import anyio
from anyio import CancelScope, create_task_group, current_time, move_on_after

from mesh_common import answers
from mesh_common.client.address import addresses
from mesh_common.client.asking import bare_id
from mesh_common.client.connection import connect_unix
from mesh_common.client.errors import ControlError, ErrorKind
from mesh_common.client.frames import (
    ChannelInbound,
    EventFrame,
    HandlerDisplaced,
    Lagged,
    RpcInbound,
    StreamChunk,
    StreamEnd,
)
from mesh_common.client.inbox import Inbox
from mesh_common.client.operations import Operations
from mesh_common.client.serving import Claim, RefusedClaim, Serving
from mesh_common.client.session import open_session
from mesh_common.client.streams import STREAM_FRAMES, StreamBook
from mesh_common.events import MeshEvent
from mesh_common.reading import read_event
from mesh_common.values import Value

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable
    from pathlib import Path

    from anyio.abc import TaskStatus

    from mesh_common.client.connection import Connect
    from mesh_common.client.frames import Frame
    from mesh_common.client.serving import Handler, StreamHandler
    from mesh_common.client.session import Session
    from mesh_common.views import PeerInfo

RETRY_FIRST_S: Final = 0.1
"""Pause before the first attempt to reconnect: a daemon that restarts is back within half a second."""
RETRY_MOST_S: Final = 5.0
"""Each pause is twice the last one, up to this."""
EVENTS_KEPT: Final = 1024
"""Events that wait for one reader; of more the oldest fall and are told as `Lagged`."""
MESSAGES_KEPT: Final = 256
"""Messages of one channel that wait for one reader; of more the oldest fall."""
GOODBYE_S: Final = 1.0
"""How long the end of a subscription may keep a program that is leaving."""


class Connected(Value, frozen=True):
    """A connection to a daemon stands, and what this program serves and listens to is registered there."""

    generation: int
    """1 for the first connection; everything that happened between two of them went unseen."""
    address: str
    refused: tuple[RefusedClaim, ...] = ()
    """What the daemon did not take back, for example because a network is gone."""


class Disconnected(Value, frozen=True):
    """The connection ended; another one is being made. Commands fail until `Connected`."""

    generation: int


Event = MeshEvent | Lagged | HandlerDisplaced | Connected | Disconnected


class Events:
    """Events in order, for one task. `Lagged` stands where some are missing: ask anew for what matters."""

    def __init__(self, inbox: Inbox[Event]) -> None:
        self._inbox = inbox

    def __aiter__(self) -> Events:
        return self

    async def __anext__(self) -> Event:
        if skipped := self._inbox.take_skipped():
            return Lagged(skipped)
        return await anext(self._inbox)


class Mesh(Operations):
    """A daemon, as long as the block of `connect` lasts: its operations, calls, channels and events.

    All methods raise `ControlError`: NOT_CONNECTED while a lost connection is being made again.
    """

    def __init__(self, addresses: Iterable[Path | str], connect: Connect) -> None:
        self._addresses = tuple(addresses)
        self._connect = connect
        self._session: Session | None = None
        self._serving = Serving()
        self._streams = StreamBook()
        self._channels: dict[tuple[str, str], list[Inbox[ChannelInbound]]] = {}
        self._events: list[Inbox[Event]] = []

    async def command(self, operation: str, /, *, timeout: float | None = None, **members: object) -> object:
        return await self._connected().command(operation, timeout=timeout, **members)

    # ── calls ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    @asynccontextmanager
    async def stream(
        self, peer: str, method: str, payload: object = None, *, network: str
    ) -> AsyncIterator[AsyncIterator[Any]]:
        """Call a peer's streaming method: `async with mesh.stream(…) as chunks: async for chunk in chunks`.

        The iteration raises `ControlError` when the stream ends with an error, its link drops, or its reader is 256
        chunks behind. Leaving the block gives the rest of the stream up; the protocol cannot tell the peer.
        """
        session = self._connected()
        started = await session.ask(
            answers.StreamStarted,
            "rpc_call_stream",
            client_id=session.client_id,
            network=network,
            peer=bare_id(peer),
            method=method,
            payload=payload,
        )
        if session.lost.is_set():
            raise _lost()
        chunks: Inbox[Any] = Inbox(STREAM_FRAMES)
        self._streams.register(started.request_id, chunks, current_time())
        try:
            yield chunks
        finally:
            self._streams.release(started.request_id)
            chunks.end()

    async def serve(self, method: str, handler: Handler, *, network: str) -> None:
        """Serve `method` to peers: `await handler(peer, payload)` returns the answer.

        What a handler raises becomes the caller's error text. Handlers of one connection run side by side and are
        cancelled when it is lost; the claim is made again with the next one. Another program that claims the method
        takes it over, which is told as `HandlerDisplaced`.
        """
        await self._serving.claim(self._connected(), Claim(network, method, handler, streaming=False))

    async def serve_stream(self, method: str, handler: StreamHandler, *, network: str) -> None:
        """Serve a streaming `method`, as `serve`: `handler(peer, payload)` is an async generator of chunks."""
        await self._serving.claim(self._connected(), Claim(network, method, handler, streaming=True))

    async def unserve(self, method: str, *, network: str) -> None:
        """Serve `method` no longer."""
        await self._serving.release(self._connected(), network, method)

    # ── channels and events ───────────────────────────────────────────────────────────────────────────────────────────

    @asynccontextmanager
    async def messages(self, channel: str, *, network: str) -> AsyncIterator[AsyncIterator[ChannelInbound]]:
        """Listen to a channel: `async with mesh.messages(…) as messages: async for message in messages`."""
        key = (network, channel)
        inbox: Inbox[ChannelInbound] = Inbox(MESSAGES_KEPT)
        readers = self._channels.setdefault(key, [])
        readers.append(inbox)
        try:
            await _subscribe(self._connected(), network, channel)
            yield inbox
        finally:
            readers.remove(inbox)
            if not readers and self._channels.get(key) is readers:
                del self._channels[key]
                await self._unsubscribe(network, channel)

    @asynccontextmanager
    async def events(self) -> AsyncIterator[Events]:
        """Everything that happens from now on: `async with mesh.events() as events: async for event in events`."""
        inbox: Inbox[Event] = Inbox(EVENTS_KEPT)
        self._events.append(inbox)
        try:
            yield Events(inbox)
        finally:
            self._events.remove(inbox)

    async def wait_for_peer(
        self, network: str, device_id: str | None = None, *, status: str = "active", timeout: float = 30.0
    ) -> PeerInfo:
        """Wait until a peer, any or this one, has a status. Raises `ControlError` TIMEOUT after `timeout` seconds."""
        wanted = None if device_id is None else bare_id(device_id)
        with move_on_after(timeout):
            async with self.events() as events:
                while True:
                    for peer in await self.peers(network):
                        if peer.status == status and wanted in (None, peer.device_id):
                            return peer
                    await anext(events)
        raise ControlError(ErrorKind.TIMEOUT, f"no peer became {status} within {timeout:g} s")

    # ── the connection ────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def connected(self) -> bool:
        """Whether commands can be sent now."""
        return self._session is not None and not self._session.lost.is_set()

    def _connected(self) -> Session:
        if self._session is None:
            raise ControlError(ErrorKind.NOT_CONNECTED, "the mesh daemon is not connected; trying again")
        return self._session

    async def _run(self, *, task_status: TaskStatus[None]) -> None:
        """Keep one session after another. The first must work; its failure is raised."""
        generation, pause = 0, RETRY_FIRST_S
        while True:
            try:
                for address in self._addresses:
                    try:
                        async with open_session(address, generation + 1, connect=self._connect) as session:
                            generation, pause = generation + 1, RETRY_FIRST_S
                            await self._live(session, task_status if generation == 1 else None)
                        break
                    except ControlError as error:
                        if error.kind is not ErrorKind.CONNECT_FAILED or address == self._addresses[-1]:
                            raise
            except ControlError:
                if not generation:
                    raise
            await anyio.sleep(pause)
            pause = min(2 * pause, RETRY_MOST_S)

    async def _live(self, session: Session, task_status: TaskStatus[None] | None) -> None:
        """One session from its start to its loss."""
        async with create_task_group() as tasks:
            tasks.start_soon(self._serving.run, session)
            try:
                refused = await self._register_all(session)
            except ControlError:
                refused = []  # it was lost meanwhile
            self._session = session
            self._tell(Connected(session.generation, str(session.address), tuple(refused)))
            session.attach(self._frame)
            if task_status is not None:
                task_status.started()
            try:
                await session.lost.wait()
            finally:
                self._session = None
                session.detach()
                self._streams.end_all(_lost())
                self._tell(Disconnected(session.generation))

    async def _register_all(self, session: Session) -> list[RefusedClaim]:
        refused = await self._serving.reclaim(session)
        for network, channel in tuple(self._channels):
            try:
                await _subscribe(session, network, channel)
            except ControlError as error:
                if error.kind is ErrorKind.CONNECTION_LOST:
                    raise
                refused.append(RefusedClaim(network, channel, error))
        return refused

    async def _unsubscribe(self, network: str, channel: str) -> None:
        session = self._session
        if session is None:
            return
        with CancelScope(shield=True), move_on_after(GOODBYE_S):
            try:
                await session.command(
                    "channel_unsubscribe", client_id=session.client_id, network=network, channel=channel
                )
            except ControlError:
                return  # it ends with the connection at the latest

    def _frame(self, frame: Frame) -> None:
        match frame:
            case EventFrame():
                if self._events and (event := read_event(frame.event)) is not None:
                    self._tell(event)
            case RpcInbound():
                self._serving.arrived(frame)
            case ChannelInbound():
                for inbox in self._channels.get((frame.network, frame.channel), ()):
                    inbox.put(frame)
            case StreamChunk() | StreamEnd():
                self._streams.receive(frame, current_time())
            case HandlerDisplaced():
                self._serving.displaced(frame)
                self._tell(frame)
            case Lagged():
                self._tell(frame)

    def _tell(self, event: Event) -> None:
        for inbox in self._events:
            inbox.put(event)


@asynccontextmanager
async def connect(address: Path | str | None = None, *, opener: Connect = connect_unix) -> AsyncIterator[Mesh]:
    """The daemon of this device, for the length of the block: `async with connect() as mesh`.

    Without an `address`: the socket that `config.json` pins, else the one in ``$MYOWNMESH_HOME``, else in
    ``~/.myownmesh``, else the one of the system's service. Raises `ControlError` CONNECT_FAILED when no daemon is there
    at the start; a connection that is lost later is made again. What the block raises comes out as it is.
    """
    mesh = Mesh(addresses() if address is None else (address,), opener)
    failure: Exception | None = None
    async with create_task_group() as tasks:
        try:
            await tasks.start(mesh._run)
            yield mesh
        except Exception as error:  # noqa: BLE001 - raised again outside of the task group
            failure = error
        finally:
            tasks.cancel_scope.cancel()
    if failure is not None:
        raise failure


async def _subscribe(session: Session, network: str, channel: str) -> None:
    await session.command("channel_subscribe", client_id=session.client_id, network=network, channel=channel)


def _lost() -> ControlError:
    return ControlError(ErrorKind.CONNECTION_LOST, "the connection to the mesh daemon was lost")
