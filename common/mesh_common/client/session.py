"""One daemon's control socket for a running program: commands, and the one event connection (spec 08 §4).

A session lives exactly as long as its event connection: when that ends, every pending command fails with
CONNECTION_LOST. Nothing of a session is ever reused; `mesh` puts one after another.
"""

from __future__ import annotations

from collections import deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import anyio
from anyio import CancelScope, CapacityLimiter, create_task_group

from mesh_common.client.connection import Connection, connect_unix
from mesh_common.client.errors import ControlError, ErrorKind
from mesh_common.client.frames import Lagged, read_frame
from mesh_common.client.operations import Operations
from mesh_common.client.protocol import (
    FAST_TIMEOUT_S,
    PROBE_TIMEOUT_S,
    answer_data,
    request_line,
    subscription_id,
    timeout_of,
    traffic_line,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from mesh_common.client.connection import Connect
    from mesh_common.client.frames import Frame

    FrameSink = Callable[[Frame], None]

MAX_COMMANDS: Final = 32
"""Command connections of one session at once; more commands queue."""
EARLY_FRAMES: Final = 1024
"""Frames kept while nobody is attached; of more the oldest fall and are told as lagged."""
RENEWAL_S: Final = 6.0
"""A daemon makes the file of its socket anew within five seconds when somebody has removed it."""
RENEWAL_POLL_S: Final = 0.25
LOST_TOGETHER_S: Final = 0.1
"""How far the ends of two connections to a dying daemon may lie apart."""


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
    line = traffic_line(operation, members)
    limit = timeout_of(operation) if timeout is None else timeout
    try:
        with anyio.fail_after(limit):
            connection = await Connection.open(address, connect)
            try:
                answer = await connection.exchange(line)
            finally:
                await connection.aclose()
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
                    return await self._asked(operation, timeout, members)
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

    async def _asked(self, operation: str, timeout: float | None, members: dict[str, object]) -> object:
        """A daemon whose events still come in lives, so one that cannot be reached will be in a moment."""
        until = anyio.current_time() + RENEWAL_S
        while True:
            try:
                return await command(self.address, operation, timeout=timeout, connect=self._connect, **members)
            except ControlError as error:
                if error.kind is not ErrorKind.CONNECT_FAILED or anyio.current_time() >= until:
                    raise
            await anyio.sleep(RENEWAL_POLL_S)

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

    def _deliver(self, frame: Frame) -> None:
        if self._sink is not None:
            self._sink(frame)
            return
        if len(self._early) == EARLY_FRAMES:
            self._early.popleft()
            self._early_dropped += 1
        self._early.append(frame)

    def _end(self) -> None:
        self.lost.set()
        for scope in self._pending:
            scope.cancel()

    async def _read_events(self, connection: Connection) -> None:
        """Until the stream ends, or a line without end shows that whatever talks there is no daemon."""
        try:
            while True:
                frame = read_frame(await connection.receive())
                if frame is not None:  # one malformed line is not the end of the stream (FE-4.6)
                    self._deliver(frame)
        except ControlError:
            return
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
    connection = await Connection.open(address, connect)
    failure: Exception | None = None
    try:
        try:
            with anyio.fail_after(FAST_TIMEOUT_S):
                answer = await connection.exchange(request_line("events_subscribe", {}))
        except TimeoutError:
            raise _timed_out() from None
        session = Session(address, subscription_id(answer_data(answer)), generation, connect)
        async with create_task_group() as tasks:
            tasks.start_soon(session._read_events, connection)
            try:
                yield session
            except Exception as error:  # noqa: BLE001 - raised again outside of the task group
                failure = error
            finally:
                session._end()
                tasks.cancel_scope.cancel()
    finally:
        await connection.aclose()
    if failure is not None:
        raise failure


def _timed_out() -> ControlError:
    return ControlError(ErrorKind.TIMEOUT, "daemon response timed out")
