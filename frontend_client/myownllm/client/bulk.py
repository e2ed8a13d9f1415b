"""Many messages on one channel between two devices, at each end on a connection of its own, in order.

What goes out is faster than one after the other, because several are under way: a daemon carries the requests of one
connection out one by one and answers in that order (spec 05 §3), so each message is confirmed before the daemon takes
the next one; only the app does not wait for the answer before it writes more.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, Self

import trio

from mesh_common.client import blocking
from mesh_common.client.connection import Connection
from mesh_common.client.errors import ControlError, ErrorKind
from mesh_common.client.frames import ChannelInbound, read_frame
from mesh_common.client.protocol import FAST_TIMEOUT_S, answer_data, compact
from myownllm.client.threads import in_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from myownllm.client.session import Session
    from myownllm.coerce import Json

GATHER_S: Final = 0.1
"""Messages that come within so long are handed over together: that costs more than reading one."""
POLL_S: Final = 0.25
"""So often a reading thread looks whether it is still wanted."""


class Bulk:
    """Messages to one device through a connection of their own. One task sends, one reads the confirmations."""

    def __init__(self, connection: Connection, head: bytes) -> None:
        self._connection = connection
        self._head = head

    @classmethod
    async def open(cls, session: Session, pubkey: str, channel: str) -> Self:
        """Raises ControlError."""
        members = {"op": "channel_send_to", "network": session.wire_id, "channel": channel, "peer": pubkey}
        head = compact(members).removesuffix(b"}") + b',"payload":'
        return cls(await Connection.open(session.bridge.address), head)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._connection.aclose()

    async def send(self, payloads: Iterable[bytes]) -> None:
        """Write messages, each compact JSON below the ceiling of a mesh frame. Raises ControlError CLOSED."""
        await self._connection.send(b"".join(part for payload in payloads for part in (self._head, payload, b"}\n")))

    @property
    def has_news(self) -> bool:
        """Is the daemon's next word here already?"""
        return self._connection.has_line

    async def confirmed(self) -> ControlError | None:
        """The daemon's word on the next message: None when it is handed to the link. The caller bounds the time.

        Raises ControlError CLOSED, PROTOCOL.
        """
        try:
            answer_data(await self._connection.receive())
        except ControlError as error:
            if not error.refused:
                raise
            return error
        return None


class Inflow:
    """Messages of one device, read by a worker thread: the app is not woken for each of very many.

    One task at a time takes them. The daemon keeps what is not taken, as much as of any client, then ends the
    connection.
    """

    def __init__(self, connection: blocking.Connection, network: str, pubkey: str, channel: str) -> None:
        self._connection = connection
        self._from = (network, pubkey, channel)
        self._threads = trio.CapacityLimiter(1)

    @classmethod
    async def open(cls, session: Session, pubkey: str, channel: str) -> Self:
        """Returns when the daemon has confirmed it: nothing sent from now on is missed. Raises ControlError."""
        connection = await trio.to_thread.run_sync(blocking.Connection, session.bridge.address, FAST_TIMEOUT_S)
        try:
            client_id = await trio.to_thread.run_sync(connection.subscribe)
            await session.bridge.command(
                "channel_subscribe", client_id=client_id, network=session.wire_id, channel=channel
            )
        except BaseException:
            connection.close()
            raise
        return cls(connection, session.wire_id, pubkey, channel)

    async def take(self, taker: Callable[[Json], None], most: int, within_s: float) -> int:
        """Wait for messages and call `taker` with each in a worker thread, `most` of them; returns how many came.

        Raises what `taker` raises, and ControlError CLOSED: there will be no more.
        """
        return await in_thread(lambda given_up: self._read(taker, most, within_s, given_up), self._threads)

    def _read(self, taker: Callable[[Json], None], most: int, within_s: float, given_up: Callable[[], bool]) -> int:
        taken, until = 0, time.monotonic() + within_s
        while taken < most and not given_up() and (left := until - time.monotonic()) > 0:
            self._connection.timeout = min(left, POLL_S)
            try:
                frame = read_frame(self._connection.receive())
            except ControlError as error:
                if error.kind is not ErrorKind.TIMEOUT:
                    raise
                continue
            if not isinstance(frame, ChannelInbound) or (frame.network, frame.peer, frame.channel) != self._from:
                continue
            if not taken:
                until = min(until, time.monotonic() + GATHER_S)
            taken += 1
            taker(frame.payload)
        return taken

    def close(self) -> None:
        """Nothing may be taking."""
        self._connection.close()
