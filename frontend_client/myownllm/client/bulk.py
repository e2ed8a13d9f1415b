"""Many messages on one channel to one device, faster than one after the other: several are under way, in order.

A daemon carries the requests of one connection out one by one and answers in that order (spec 05 §3), so each message
is confirmed before the daemon takes the next one; only the app does not wait for the answer before it writes more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from mesh_common.client.connection import Connection
from mesh_common.client.errors import ControlError
from mesh_common.client.protocol import answer_data, compact

if TYPE_CHECKING:
    from collections.abc import Iterable

    from myownllm.client.session import Session


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
