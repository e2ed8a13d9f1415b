"""What features and screens ask of the mesh through the client: decide about peers, call them (spec 08 §5.10).

Every operation belongs to the life that is running when it is called, and ends with it: a stop fails it with `stopped`,
a lost daemon with `connection_lost`. Without a connected daemon it fails at once (FE-2.3).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import trio

from myownllm import wire
from myownllm.catalog.coerce import as_object
from myownllm.errors import MeshError, refusal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from myownllm.catalog.coerce import Json
    from myownllm.client.client import MeshClient

CALL_TIMEOUT_S: Final = 30.0
STREAM_FIRST_S: Final = 180.0
"""A cold model needs this long before its first word (FE-9.4)."""
STREAM_IDLE_S: Final = 60.0
NO_DATA_TEXT: Final = "peer closed the stream without data (no handler, busy or nothing to say)"


class Operations:
    """User operations and outgoing calls on the bound network. All raise MeshError."""

    def __init__(self, client: MeshClient) -> None:
        self._client = client

    async def approve(self, pubkey: str) -> None:
        """Let a device in, under the name that it announced. Approving twice is no error."""
        peer = self._client.state.peer(pubkey)
        label = "" if peer is None else peer.announced_label
        await self._command("roster_approve", device_id=pubkey, label=label)
        self._client.peers_changed()

    async def remove(self, pubkey: str) -> None:
        """Turn a device away, or take an approval back."""
        await self._command("roster_remove", device_id=pubkey)
        self._client.peers_changed()

    async def call(self, pubkey: str, method: str, payload: Json, *, timeout_s: float = CALL_TIMEOUT_S) -> Json:
        """A single answer. `timeout` after `timeout_s` seconds, whatever the daemon does."""
        answer = await self._command(
            "rpc_call",
            peer=pubkey,
            method=method,
            payload=payload,
            timeout_ms=int(timeout_s * 1000),
            timeout_s=timeout_s,
        )
        return as_object(answer).get("response")

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
        and a reader that is too slow (`overflow`) raise. Close the iterator to lose interest.
        """
        session = self._client.session()
        answer = await session.command(
            "rpc_call_stream",
            client_id=session.bridge.client_id,
            network=session.wire_id,
            peer=pubkey,
            method=method,
            payload=payload,
        )
        request_id = str(as_object(answer).get("request_id", ""))
        stream = session.streams.register(request_id, trio.current_time())
        pieces = 0
        try:
            while True:
                while not stream.frames:
                    if stream.overflowed:
                        raise MeshError("protocol", f"{method}: overflow, the stream was read too slowly")
                    if session.ended.is_set():
                        raise MeshError("stopped", "stopped")
                    with trio.move_on_after(idle_s if pieces else first_s) as limit:
                        await session.stream_wake(request_id)
                    if limit.cancelled_caught:
                        raise MeshError("timeout", f"timed out waiting for {self._name(pubkey)}")
                frame = stream.frames.popleft()
                if isinstance(frame, wire.StreamEnd):
                    if frame.error is not None:
                        raise refusal(frame.error)
                    if not pieces:
                        raise MeshError("closed", NO_DATA_TEXT)
                    return
                if isinstance(frame.payload, dict) and set(frame.payload) == {"error"}:
                    raise refusal(str(frame.payload["error"]))
                pieces += 1
                yield frame.payload
        finally:
            session.forget_stream(request_id)

    async def send(self, pubkey: str, channel: str, payload: Json) -> None:
        """A message to one device."""
        await self._command("channel_send_to", peer=pubkey, channel=channel, payload=payload)

    async def broadcast(self, channel: str, payload: Json) -> int:
        """A message to every connected device; returns to how many it went."""
        answer = as_object(await self._command("channel_send_all", channel=channel, payload=payload))
        count = answer.get("dispatched_to")
        return count if isinstance(count, int) else 0

    def _name(self, pubkey: str) -> str:
        peer = self._client.state.peer(pubkey)
        return pubkey[:8] if peer is None else peer.label

    async def _command(self, operation: str, *, timeout_s: float | None = None, **members: Any) -> Json:
        session = self._client.session()
        return await session.command(operation, timeout_s=timeout_s, network=session.wire_id, **members)
