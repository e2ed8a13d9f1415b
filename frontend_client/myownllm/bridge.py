"""One daemon's control socket for the running app: commands, and the one event connection (spec 08 §4).

A bridge lives exactly as long as its event connection: when that ends, every pending command fails with
`connection_lost`, and a new bridge with a new client id takes over (FE-4.9). Nothing of it is ever reused.
"""

from __future__ import annotations

from collections import deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import trio

from myownllm import wire
from myownllm.errors import CLOSED_TEXT, TIMEOUT_TEXT, MeshError, connect_failed, connection_lost

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from myownllm.catalog.coerce import Json, JsonObject

    Connect = Callable[[Path], Awaitable[trio.abc.Stream]]
    FrameSink = Callable[[wire.Frame], None]

MAX_COMMANDS: Final = 32
"""Concurrent command connections; more of them queue."""
EARLY_FRAMES: Final = 1024
"""Frames kept for a client that has not attached yet."""
LOST_TOGETHER_S: Final = 0.1
"""How long the ends of two connections to a dying daemon may lie apart."""
_CHUNK: Final = 65_536


async def connect_unix(address: Path) -> trio.abc.Stream:
    """Open the control socket. Raises OSError."""
    return await trio.open_unix_socket(str(address))


async def _open(address: Path, connect: Connect) -> trio.abc.Stream:
    try:
        with trio.fail_after(wire.CONNECT_TIMEOUT_S):
            return await connect(address)
    except (OSError, trio.TooSlowError):
        raise connect_failed(address) from None


async def _first_line(stream: trio.abc.Stream, buffer: wire.LineBuffer) -> tuple[bytes, list[bytes]]:
    """The first line and what came behind it. Raises MeshError `closed` or `protocol`."""
    while True:
        try:
            data = await stream.receive_some(_CHUNK)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            data = b""
        if not data:
            rest = buffer.rest()
            if rest:
                return rest, []
            raise MeshError("closed", CLOSED_TEXT)
        lines = buffer.feed(bytes(data))
        if lines:
            return lines[0], lines[1:]


async def command(
    address: Path,
    operation: str,
    members: JsonObject,
    *,
    timeout_s: float | None = None,
    connect: Connect = connect_unix,
) -> Json:
    """One operation on a fresh connection that is closed afterwards, answered or not. Raises MeshError.

    Cancellation closes the connection; the daemon may still carry the operation out.
    """
    line = wire.request_line(operation, members)
    limit = wire.timeout_of(operation) if timeout_s is None else timeout_s
    try:
        with trio.fail_after(limit):
            stream = await _open(address, connect)
            try:
                try:
                    await stream.send_all(line)
                except (trio.BrokenResourceError, trio.ClosedResourceError):
                    raise MeshError("closed", CLOSED_TEXT) from None
                answer, _ = await _first_line(stream, wire.LineBuffer())
            finally:
                await trio.aclose_forcefully(stream)
    except trio.TooSlowError:
        raise MeshError("timeout", TIMEOUT_TEXT) from None
    return wire.answer_data(answer)


async def probe(address: Path, *, connect: Connect = connect_unix) -> JsonObject | None:
    """The answer of `status` within 800 ms, or None when no healthy daemon is there (FE-3.1)."""
    try:
        data = await command(address, "status", {}, timeout_s=wire.PROBE_TIMEOUT_S, connect=connect)
    except MeshError:
        return None
    return data if isinstance(data, dict) else {}


class Bridge:
    """Commands and events of one connection to one daemon. Made by `open_bridge`."""

    def __init__(self, address: Path, client_id: str, generation: int, connect: Connect) -> None:
        self.address = address
        self.client_id = client_id
        self.generation = generation
        self.lost = trio.Event()
        self._connect = connect
        self._commands = trio.CapacityLimiter(MAX_COMMANDS)
        self._pending: set[trio.CancelScope] = set()
        self._sink: FrameSink | None = None
        self._early: deque[wire.Frame] = deque()
        self._early_dropped = 0

    async def command(self, operation: str, /, *, timeout_s: float | None = None, **members: Any) -> Json:
        """One operation. Raises MeshError; `connection_lost` as soon as the event connection ends."""
        if self.lost.is_set():
            raise connection_lost()
        with trio.CancelScope() as scope:
            self._pending.add(scope)
            try:
                async with self._commands:
                    return await command(self.address, operation, members, timeout_s=timeout_s, connect=self._connect)
            except MeshError as error:
                if error.kind == "closed":  # a daemon that dies closes all its connections, in any order
                    with trio.move_on_after(LOST_TOGETHER_S):
                        await self.lost.wait()
                if not self.lost.is_set():
                    raise
            finally:
                self._pending.discard(scope)
        raise connection_lost(operation)

    def attach(self, sink: FrameSink) -> None:
        """Hand frames to `sink` from now on, beginning with those that came before anyone was attached."""
        self._sink = sink
        if self._early_dropped:
            sink(wire.Lagged(self._early_dropped))
            self._early_dropped = 0
        while self._early and self._sink is sink:
            sink(self._early.popleft())

    def detach(self) -> None:
        self._sink = None

    def _deliver(self, lines: list[bytes]) -> None:
        for line in lines:
            try:
                frame = wire.parse_frame(wire.parse_object(line))
            except MeshError:
                continue  # one malformed line is not the end of the stream (FE-4.6)
            if frame is None:
                continue
            if self._sink is not None:
                self._sink(frame)
                continue
            if len(self._early) == EARLY_FRAMES:
                self._early.popleft()
                self._early_dropped += 1
            self._early.append(frame)

    def _end(self) -> None:
        self.lost.set()
        for scope in self._pending:
            scope.cancel()

    async def _read_events(self, stream: trio.abc.Stream, buffer: wire.LineBuffer, first: list[bytes]) -> None:
        """Parse and dispatch, nothing else: a slow feature must not fill the daemon's queue (FE-4.7)."""
        try:
            self._deliver(first)
            while True:
                try:
                    data = await stream.receive_some(_CHUNK)
                except (trio.BrokenResourceError, trio.ClosedResourceError):
                    return
                if not data:
                    return
                self._deliver(buffer.feed(bytes(data)))
        except MeshError:
            return  # a line without end: whatever talks there is no daemon
        finally:
            self._end()


@asynccontextmanager
async def open_bridge(address: Path, generation: int, *, connect: Connect = connect_unix) -> AsyncIterator[Bridge]:
    """Subscribe to a daemon's events and keep the connection for the time of the block. Raises MeshError.

    The block is not cancelled when the connection is lost; it watches `bridge.lost`.
    """
    buffer = wire.LineBuffer()
    stream = await _open(address, connect)
    try:
        try:
            with trio.fail_after(wire.FAST_TIMEOUT_S):
                await stream.send_all(wire.request_line("events_subscribe", {}))
                answer, rest = await _first_line(stream, buffer)
        except trio.TooSlowError:
            raise MeshError("timeout", TIMEOUT_TEXT) from None
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise MeshError("closed", CLOSED_TEXT) from None
        try:
            client_id = wire.subscription_id(wire.answer_data(answer))
        except MeshError as error:
            if not error.refused:
                raise
            raise MeshError(error.kind, f"subscribe rejected: {error.text}", refused=True) from None
        bridge = Bridge(address, client_id, generation, connect)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(bridge._read_events, stream, buffer, rest)
            try:
                yield bridge
            finally:
                bridge._end()
                nursery.cancel_scope.cancel()
    finally:
        await trio.aclose_forcefully(stream)
