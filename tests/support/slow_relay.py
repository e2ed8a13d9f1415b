"""A proxy before a relay that brings every event late; all else passes at once."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import trio
from attrs import define, field

from support.signaling import BareSocket, ws_frame

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_EVENT = b'["EVENT"'


@define(eq=False)
class SlowRelay:
    """What its clients connect to, and by how much events are late on their way from the relay to them."""

    url: str
    delay_s: float
    _host: str
    _port: int
    _nursery: trio.Nursery = field(repr=False)

    async def serve(self, stream: trio.SocketStream) -> None:
        """One client: its bytes go to the relay as they are, the relay's frames come back in their time."""
        async with stream, await trio.open_tcp_stream(self._host, self._port) as upstream:
            relay = BareSocket(upstream)
            with trio.CancelScope() as scope:
                self._nursery.start_soon(self._pass_on, stream, upstream, scope)
                await self._bring_back(relay, stream)

    async def _pass_on(self, client: trio.SocketStream, relay: trio.SocketStream, scope: trio.CancelScope) -> None:
        try:
            async for data in client:
                await relay.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        scope.cancel()

    async def _bring_back(self, relay: BareSocket, client: trio.SocketStream) -> None:
        lock = trio.Lock()
        try:
            head = await relay.read_head()
            await client.send_all(head + b"\r\n\r\n")
            async with trio.open_nursery() as nursery:
                while True:
                    opcode, payload = await relay.read_frame()
                    wait_s = self.delay_s if payload.startswith(_EVENT) else 0.0
                    nursery.start_soon(self._deliver, client, lock, ws_frame(payload, opcode), wait_s)
        except* (EOFError, trio.BrokenResourceError, trio.ClosedResourceError):
            pass

    async def _deliver(self, client: trio.SocketStream, lock: trio.Lock, frame: bytes, wait_s: float) -> None:
        if wait_s:
            await trio.sleep(wait_s)
        async with lock:
            await client.send_all(frame)


@asynccontextmanager
async def slow_relay(url: str, delay_s: float) -> AsyncIterator[SlowRelay]:
    """A slow way to the relay at `url`."""
    there = urlsplit(url)
    assert there.hostname is not None
    assert there.port is not None
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    here = f"ws://127.0.0.1:{listener.socket.getsockname()[1]}"
    async with trio.open_nursery() as nursery:
        proxy = SlowRelay(here, delay_s, there.hostname, there.port, nursery)
        nursery.start_soon(trio.serve_listeners, proxy.serve, [listener])
        yield proxy
        nursery.cancel_scope.cancel()
