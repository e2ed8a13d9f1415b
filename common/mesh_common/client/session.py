"""One daemon's control socket for a running program: commands, and the one event connection (spec 08 §4).

A session lives exactly as long as its event connection: when that ends, every pending command fails with
CONNECTION_LOST. Nothing of a session is ever reused; `mesh` puts one after another.
"""

from __future__ import annotations

from collections import deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, Protocol

import anyio
from anyio import CancelScope, CapacityLimiter, ClosedResourceError, EndOfStream, create_task_group
from anyio.lowlevel import checkpoint

from mesh_common.client.errors import ControlError, ErrorKind
from mesh_common.client.frames import Lagged, read_frame
from mesh_common.client.operations import Operations
from mesh_common.client.protocol import (
    CONNECT_TIMEOUT_S,
    FAST_TIMEOUT_S,
    PROBE_TIMEOUT_S,
    LineBuffer,
    answer_data,
    check_traffic,
    request_line,
    subscription_id,
    timeout_of,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from mesh_common.client.frames import Frame

    FrameSink = Callable[[Frame], None]

MAX_COMMANDS: Final = 32
"""Command connections of one session at once; more commands queue."""
EARLY_FRAMES: Final = 1024
"""Frames kept while nobody is attached; of more the oldest fall and are told as lagged."""
LOST_TOGETHER_S: Final = 0.1
"""How far the ends of two connections to a dying daemon may lie apart."""


class Stream(Protocol):
    """What a session needs of a byte stream; anyio's streams have it."""

    async def receive(self) -> bytes:
        """The next bytes. Raises `anyio.EndOfStream` or `anyio.BrokenResourceError` at the end."""
        ...

    async def send(self, data: bytes, /) -> None: ...
    async def aclose(self) -> None: ...


class Connect(Protocol):
    """Opens the control socket. Raises `OSError`."""

    def __call__(self, address: Path | str, /) -> Awaitable[Stream]: ...


async def connect_unix(address: Path | str) -> Stream:
    """Open a Unix socket, under trio or asyncio."""
    return await anyio.connect_unix(address)


async def command(
    address: Path | str,
    operation: str,
    /,
    *,
    timeout: float | None = None,
    connect: Connect = connect_unix,
    **members: object,
) -> object:
    """One operation on a fresh connection that is closed afterwards, answered or not. Raises `ControlError`.

    `timeout` (seconds) bounds connection and answer; None means the operation's own limit (FE-4.3). Cancellation closes
    the connection; the daemon may still carry the operation out.
    """
    check_traffic(members)
    line = request_line(operation, members)
    limit = timeout_of(operation) if timeout is None else timeout
    try:
        with anyio.fail_after(limit):
            stream = await _open(address, connect)
            try:
                await _send(stream, line)
                answer, _ = await _first_line(stream, LineBuffer())
            finally:
                await _close(stream)
    except TimeoutError:
        raise _timed_out() from None
    return answer_data(answer)


async def probe(address: Path | str, *, connect: Connect = connect_unix) -> object:
    """The answer of `status` within 800 ms, or None when no healthy daemon is there (FE-3.1)."""
    try:
        return await command(address, "status", timeout=PROBE_TIMEOUT_S, connect=connect)
    except ControlError:
        return None


class Session(Operations):
    """Commands and events of one event connection. Made by `open_session`."""

    def __init__(self, address: Path | str, client_id: str, generation: int, connect: Connect) -> None:
        self.address = address
        self.client_id = client_id
        self.generation = generation
        """Counts the sessions of whoever opened this one, so that late news of an older one can be told apart."""
        self.lost = anyio.Event()
        """Set when the event connection has ended."""
        self._connect = connect
        self._commands = CapacityLimiter(MAX_COMMANDS)
        self._pending: dict[CancelScope, str] = {}
        self._sink: FrameSink | None = None
        self._early: deque[Frame] = deque()
        self._early_dropped = 0

    async def command(self, operation: str, /, *, timeout: float | None = None, **members: object) -> object:
        """One operation. Raises `ControlError`; CONNECTION_LOST as soon as the event connection ends."""
        if self.lost.is_set():
            raise ControlError(ErrorKind.CONNECTION_LOST, "the connection to the mesh daemon was lost")
        with CancelScope() as scope:
            self._pending[scope] = operation
            try:
                async with self._commands:
                    return await command(self.address, operation, timeout=timeout, connect=self._connect, **members)
            except ControlError as error:
                if error.kind is ErrorKind.CLOSED:  # a daemon that dies closes all its connections, in any order
                    with anyio.move_on_after(LOST_TOGETHER_S):
                        await self.lost.wait()
                if not self.lost.is_set():
                    raise
            finally:
                self._pending.pop(scope, None)
        text = f"the connection to the mesh daemon was lost during `{operation}`"
        raise ControlError(ErrorKind.CONNECTION_LOST, text)

    @property
    def waits_for(self) -> str | None:
        """The operation that has been waiting longest for its answer."""
        return next(iter(self._pending.values()), None)

    def attach(self, sink: FrameSink) -> None:
        """Hand frames to `sink` from now on, beginning with those that came before anyone was attached.

        `sink` runs within the reading of the stream: it sorts frames into bounded queues and does nothing else, for a
        slow one fills the daemon's queue (FE-4.7).
        """
        self._sink = sink
        if self._early_dropped:
            sink(Lagged(self._early_dropped))
            self._early_dropped = 0
        while self._early and self._sink is sink:
            sink(self._early.popleft())

    def detach(self) -> None:
        """Keep frames, as before `attach`."""
        self._sink = None

    def _deliver(self, lines: list[bytes]) -> None:
        for line in lines:
            frame = read_frame(line)
            if frame is None:
                continue  # one malformed line is not the end of the stream (FE-4.6)
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

    async def _read_events(self, stream: Stream, buffer: LineBuffer, first: list[bytes]) -> None:
        try:
            self._deliver(first)
            while True:
                self._deliver(buffer.feed(await stream.receive()))
                await checkpoint()  # a stream that never runs dry must not keep everybody else waiting
        except (EndOfStream, anyio.BrokenResourceError, ClosedResourceError):
            return
        except ControlError:
            return  # a line without end: whatever talks there is no daemon
        finally:
            self._end()


@asynccontextmanager
async def open_session(
    address: Path | str, generation: int = 0, *, connect: Connect = connect_unix
) -> AsyncIterator[Session]:
    """Subscribe to a daemon's events and keep the connection for the time of the block. Raises `ControlError`.

    The block is not cancelled when the connection is lost; it watches `session.lost`. What the block raises comes out
    as it is, not in a group.
    """
    buffer = LineBuffer()
    stream = await _open(address, connect)
    failure: Exception | None = None
    try:
        try:
            with anyio.fail_after(FAST_TIMEOUT_S):
                await _send(stream, request_line("events_subscribe", {}))
                answer, rest = await _first_line(stream, buffer)
        except TimeoutError:
            raise _timed_out() from None
        session = Session(address, subscription_id(answer_data(answer)), generation, connect)
        async with create_task_group() as tasks:
            tasks.start_soon(session._read_events, stream, buffer, rest)
            try:
                yield session
            except Exception as error:  # noqa: BLE001 - raised again outside of the task group
                failure = error
            finally:
                session._end()
                tasks.cancel_scope.cancel()
    finally:
        await _close(stream)
    if failure is not None:
        raise failure


async def _open(address: Path | str, connect: Connect) -> Stream:
    try:
        with anyio.fail_after(CONNECT_TIMEOUT_S):
            return await connect(address)
    except OSError as error:  # a timeout is one too
        text = f"connect daemon socket at {address} — is `myownmesh serve` running?"
        raise ControlError(ErrorKind.CONNECT_FAILED, text) from error


async def _send(stream: Stream, line: bytes) -> None:
    try:
        await stream.send(line)
    except (anyio.BrokenResourceError, ClosedResourceError) as error:
        raise _closed() from error


async def _first_line(stream: Stream, buffer: LineBuffer) -> tuple[bytes, list[bytes]]:
    """The first line and what came behind it. Raises `ControlError` CLOSED or PROTOCOL."""
    while True:
        try:
            data = await stream.receive()
        except (EndOfStream, anyio.BrokenResourceError, ClosedResourceError):
            rest = buffer.rest()
            if rest:
                return rest, []
            raise _closed() from None
        lines = buffer.feed(data)
        if lines:
            return lines[0], lines[1:]


async def _close(stream: Stream) -> None:
    with CancelScope(shield=True):  # closing a local socket does not wait
        await stream.aclose()


def _timed_out() -> ControlError:
    return ControlError(ErrorKind.TIMEOUT, "daemon response timed out")


def _closed() -> ControlError:
    return ControlError(ErrorKind.CLOSED, "daemon closed connection without a response")
