"""What features and screens ask of the mesh through the client: decide about peers, call them (spec 08 §5.10).

Every operation belongs to the life that is running when it is called, and ends with it: a stop fails it with `stopped`,
a lost daemon with `connection_lost`. Without a connected daemon it fails at once (FE-2.3).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import trio

from mesh_common import answers
from mesh_common.client.errors import ControlError, ErrorKind, stream_failure
from mesh_common.client.inbox import Inbox
from mesh_common.client.streams import STREAM_FRAMES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from myownllm.client.client import MeshClient
    from myownllm.coerce import Json

CALL_TIMEOUT_S: Final = 30.0
STREAM_FIRST_S: Final = 180.0
"""A cold model needs this long before its first word (FE-9.4)."""
STREAM_IDLE_S: Final = 60.0
NO_DATA_TEXT: Final = "peer closed the stream without data (no handler, busy or nothing to say)"


class Operations:
    """User operations and outgoing calls on the bound network. All raise ControlError or NoNetworkError."""

    def __init__(self, client: MeshClient) -> None:
        self._client = client

    async def approve(self, pubkey: str) -> None:
        """Let a device in, under the name that it announced. Approving twice is no error."""
        peer = self._client.state.peer(pubkey)
        label = "" if peer is None else peer.announced_label
        session = self._client.session()
        await session.ask(answers.DeviceApproved, "roster_approve", device_id=pubkey, label=label)
        self._client.peers_changed()

    async def remove(self, pubkey: str) -> None:
        """Turn a device away, or take an approval back."""
        await self._client.session().ask(answers.DeviceRemoved, "roster_remove", device_id=pubkey)
        self._client.peers_changed()

    async def call(self, pubkey: str, method: str, payload: Json, *, timeout_s: float = CALL_TIMEOUT_S) -> Json:
        """A single answer. TIMEOUT after `timeout_s` seconds, whatever the daemon does."""
        answer = await self._client.session().ask(
            answers.CallAnswer,
            "rpc_call",
            peer=pubkey,
            method=method,
            payload=payload,
            timeout_ms=int(timeout_s * 1000),
            timeout_s=timeout_s,
        )
        return answer.response

    async def call_stream(
        self,
        pubkey: str,
        method: str,
        payload: Json,
        *,
        first_s: float = STREAM_FIRST_S,
        idle_s: float = STREAM_IDLE_S,
    ) -> AsyncIterator[Json]:
        """Pieces of a streamed answer, in order, also those that overtook the daemon's answer to the call.

        Ends without an error only behind a clean end with at least one piece; an error chunk, an error end, silence
        and a reader that is too slow raise. Close the iterator to lose interest.
        """
        session = self._client.session()
        client_id = session.bridge.client_id
        started = await session.ask(
            answers.StreamStarted, "rpc_call_stream", client_id=client_id, peer=pubkey, method=method, payload=payload
        )
        chunks: Inbox[Any] = Inbox(STREAM_FRAMES)
        session.streams.register(started.request_id, chunks, trio.current_time())
        if session.ended.is_set():
            session.end()
        pieces = 0
        try:
            while True:
                with trio.move_on_after(idle_s if pieces else first_s) as limit:
                    try:
                        piece = await anext(chunks)
                    except StopAsyncIteration:
                        if not pieces:
                            raise ControlError(ErrorKind.CLOSED, NO_DATA_TEXT) from None
                        return
                if limit.cancelled_caught:
                    raise ControlError(ErrorKind.TIMEOUT, f"timed out waiting for {self._name(pubkey)}")
                if isinstance(piece, dict) and set(piece) == {"error"}:
                    raise stream_failure(str(piece["error"]))
                pieces += 1
                yield piece
        finally:
            session.streams.release(started.request_id)

    async def send(self, pubkey: str, channel: str, payload: Json) -> None:
        """A message to one device."""
        session = self._client.session()
        await session.ask(answers.MessageSent, "channel_send_to", peer=pubkey, channel=channel, payload=payload)

    async def broadcast(self, channel: str, payload: Json) -> int:
        """A message to every connected device; returns to how many it went."""
        session = self._client.session()
        answer = await session.ask(answers.MessageDispatched, "channel_send_all", channel=channel, payload=payload)
        return answer.dispatched_to

    def _name(self, pubkey: str) -> str:
        peer = self._client.state.peer(pubkey)
        return pubkey[:8] if peer is None else peer.label
