"""Devices, a relay of our own and relays that misbehave, over real sockets on the loopback interface."""

from __future__ import annotations

import base64
import hashlib
import os
import random
import threading
import time
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import trio
from attrs import Factory, define, field, frozen

from myownmesh.protocol import base32
from myownmesh.protocol.clock import Instant
from myownmesh.relay.client import Limits
from myownmesh.relay_worker.messages import Job
from myownmesh.relay_worker.worker import Worker
from myownmesh.signaling.client import NostrSignaling
from myownmesh.signaling.sources import RelaySources

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from mesh_common.views import RelayActivity
    from myownmesh.protocol.signals import InboundSignal
    from myownmesh.signaling.timepiece import Timepiece

PATIENCE_S = 10.0

Signal = TypeVar("Signal")


def wall_clock(ahead_s: int = 0) -> Instant:
    return Instant(time.monotonic(), time.time_ns() // 1_000_000 + ahead_s * 1000)


def device_id(number: int) -> str:
    return base32.encode(random.Random(number).randbytes(32))


@frozen
class Settings:
    servers: tuple[str, ...]
    redundancy: int = 5
    denylist: tuple[str, ...] = ()
    public_fallback: bool = False
    listen_only: bool = False


@define(eq=False)
class Device:
    """A signaling client and what it heard."""

    id: str
    signaling: NostrSignaling
    sources: RelaySources
    heard: list[InboundSignal] = field(factory=list)
    _news: trio.Event = Factory(trio.Event)

    def deliver(self, signal: InboundSignal) -> None:
        self.heard.append(signal)
        self._news.set()
        self._news = trio.Event()

    async def hears(self, wanted: type[Signal], where: Callable[[Signal], bool] = lambda _: True) -> Signal:
        """The first signal of that kind, waiting for it if need be."""
        with trio.fail_after(PATIENCE_S):
            while True:
                for signal in self.heard:
                    if isinstance(signal, wanted) and where(signal):
                        return signal
                await self._news.wait()

    async def admitted_by(self, relay: str) -> None:
        await eventually(lambda: relay in self.signaling.admitted)


async def eventually(condition: Callable[[], bool]) -> None:
    with trio.fail_after(PATIENCE_S):
        while not condition():
            await trio.sleep(0.005)


def new_device(
    number: int,
    *relays: str,
    listen_only: bool = False,
    network: str = "office-mesh",
    ahead_s: int = 0,
    timepiece: Timepiece | None = None,
) -> Device:
    """A device whose wall clock is `ahead_s` ahead of ours; `timepiece` is what it has learned of the time so far."""
    identifier = device_id(number)
    sources = RelaySources()
    return Device(
        identifier,
        NostrSignaling(
            device_id=identifier,
            network_id=network,
            app_id="myownmesh-test",
            settings=Settings(relays, listen_only=listen_only),
            now=lambda: wall_clock(ahead_s),
            rng=random.Random(number),
            sources=sources,
            timepiece=timepiece,
        ),
        sources,
    )


@asynccontextmanager
async def running(*devices: Device) -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:
        for device in devices:
            await nursery.start(device.signaling.run, device.deliver)
        yield
        nursery.cancel_scope.cancel()


class RelayAtHand:
    """The worker that serves a relay, in a thread of the test instead of a process: it starts at once."""

    def __init__(self, port: int = 0, limits: Limits | None = None, *, bind: str = "127.0.0.1") -> None:
        """Raises OSError when it cannot listen."""
        self._worker = Worker(Job(bind, port, limits or Limits()), lambda _said: None)
        self.port = self._worker.listening.port
        self._commands, self._end = os.pipe()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        self._worker.run(self._commands)
        os.close(self._commands)

    @property
    def activity(self) -> RelayActivity:
        return self._worker.hub.activity

    async def stop(self) -> None:
        """Its clients hear that it goes away."""
        os.close(self._end)
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(self._thread.join, PATIENCE_S)
        assert not self._thread.is_alive()


@asynccontextmanager
async def relay_server(
    port: int = 0, limits: Limits | None = None, *, bind: str = "127.0.0.1"
) -> AsyncIterator[RelayAtHand]:
    server = RelayAtHand(port, limits, bind=bind)
    try:
        yield server
    finally:
        await server.stop()


def url_of(server: RelayAtHand) -> str:
    return f"ws://127.0.0.1:{server.port}"


# ── bare WebSockets, for both ends that misbehave ─────────────────────────────────────────────────────────────────────


def ws_frame(payload: bytes, opcode: int = 1, *, fin: bool = True, masked: bool = False) -> bytes:
    """One WebSocket frame, byte for byte as RFC 6455 has it; the mask is all zeros."""
    head = bytes([(0x80 if fin else 0) | opcode])
    mask = 0x80 if masked else 0
    if len(payload) < 126:
        head += bytes([mask | len(payload)])
    elif len(payload) < 65536:
        head += bytes([mask | 126]) + len(payload).to_bytes(2, "big")
    else:
        head += bytes([mask | 127]) + len(payload).to_bytes(8, "big")
    return head + (bytes(4) if masked else b"") + payload


class BareSocket:
    """A TCP stream that is read in lines and WebSocket frames."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self._buffer = b""

    async def read(self, count: int) -> bytes:
        """Exactly `count` bytes; raises EOFError at the end of the stream."""
        while len(self._buffer) < count:
            data = await self.stream.receive_some(65536)
            if not data:
                raise EOFError(self._buffer)
            self._buffer += data
        taken, self._buffer = self._buffer[:count], self._buffer[count:]
        return taken

    async def read_head(self) -> bytes:
        """An HTTP head with its blank line."""
        while b"\r\n\r\n" not in self._buffer:
            data = await self.stream.receive_some(65536)
            if not data:
                raise EOFError(self._buffer)
            self._buffer += data
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        return head

    async def read_frame(self) -> tuple[int, bytes]:
        """Opcode and payload of the next frame."""
        first, second = await self.read(2)
        length = second & 0x7F
        if length == 126:
            length = int.from_bytes(await self.read(2), "big")
        elif length == 127:
            length = int.from_bytes(await self.read(8), "big")
        mask = await self.read(4) if second & 0x80 else bytes(4)
        payload = await self.read(length)
        return first & 0x0F, bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))

    async def send(self, *frames: bytes) -> None:
        await self.stream.send_all(b"".join(frames))


@asynccontextmanager
async def bare_client(port: int, *headers: str) -> AsyncIterator[BareSocket]:
    """A client that has upgraded, with extra header lines."""
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        socket = BareSocket(stream)
        lines = [
            "GET / HTTP/1.1",
            "Host: x",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
            *headers,
        ]
        await stream.send_all("\r\n".join([*lines, "", ""]).encode())
        head = await socket.read_head()
        assert b" 101 " in head.splitlines()[0]
        yield socket


Script: TypeAlias = "Callable[[BareSocket], Awaitable[None]]"


async def upgrade(socket: BareSocket, *headers: str) -> None:
    """The server's half of a WebSocket handshake, with extra header lines."""
    head = (await socket.read_head()).decode()
    key = next(
        line.split(":")[1].strip() for line in head.splitlines() if line.lower().startswith("sec-websocket-key:")
    )
    accept = base64.b64encode(hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()).decode()
    await socket.send(
        "\r\n".join(
            [
                "HTTP/1.1 101 X",
                "Upgrade: websocket",
                "Connection: Upgrade",
                f"Sec-WebSocket-Accept: {accept}",
                *headers,
                "",
                "",
            ]
        ).encode()
    )


@asynccontextmanager
async def hostile_relay(script: Script) -> AsyncIterator[str]:
    """The URL of a server that runs `script` for every TCP connection."""

    async def handle(stream: trio.SocketStream) -> None:
        async with stream:
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError, EOFError):
                await script(BareSocket(stream))

    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, handle, [listener])
        yield f"ws://127.0.0.1:{listener.socket.getsockname()[1]}"
        nursery.cancel_scope.cancel()
