"""Large payloads on their way out and in (spec 08 FE-9.49): the trio half of `blobs`."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, Final

import msgspec
import trio

from mesh_common.client.errors import ControlError, ErrorKind
from mesh_common.client.protocol import MAX_PAYLOAD_BYTES, compact
from myownllm import capabilities
from myownllm.client import blobs
from myownllm.payloads import PayloadError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from myownllm.coerce import Json
    from myownllm.peers import PeerEntry

    Send = Callable[[str, Any], Awaitable[object]]
    """`await send(channel, payload)`: one message to the peer, confirmed"""

MARGIN_BYTES: Final = 1000
"""Two encoders agree on the length of JSON but for the spelling of numbers."""
WAIT_S: Final = 30.0
"""For parts that are missing when the payload is wanted."""


async def fitting(peer: PeerEntry | None, payload: Json, send: Send) -> Json:
    """What to send for `payload`: itself, or a reference once its parts are on their way.

    Raises ControlError TOO_LARGE; then nothing was sent.
    """
    if _is_small(payload):
        return payload
    data = compact(payload)
    if len(data) <= MAX_PAYLOAD_BYTES:
        return payload
    if peer is None or not capabilities.supports(peer.capabilities, blobs.FEATURE_ID):
        raise ControlError(ErrorKind.TOO_LARGE, "payload too large for this peer")
    if len(data) > blobs.BLOB_MAX_BYTES:
        text = f"payload too large: {len(data)} bytes, {blobs.BLOB_MAX_BYTES} is the most"
        raise ControlError(ErrorKind.TOO_LARGE, text)
    blob_id = secrets.token_hex(8)
    for part in blobs.parts(blob_id, data):
        await send(blobs.CHANNEL, part)
    return blobs.refer(blob_id, data, blobs.stream_id_of(payload))


def _is_small(payload: Json) -> bool:
    """Certainly below the ceiling; found ten times faster than the exact length."""
    try:
        return len(msgspec.json.encode(payload)) < MAX_PAYLOAD_BYTES - MARGIN_BYTES
    except (TypeError, ValueError, RecursionError):
        return False  # the exact way says what is wrong


class Arrivals:
    """Large payloads that come in."""

    def __init__(self) -> None:
        self._blobs = blobs.Blobs()
        self._news = trio.Event()

    async def hear(self, peer: PeerEntry, message: Json) -> None:
        """A message of the channel."""
        await trio.lowlevel.checkpoint()
        if self._blobs.take(peer.device_pubkey, message, trio.current_time()):
            news, self._news = self._news, trio.Event()
            news.set()

    async def whole(self, sender: str, payload: Json) -> Json:
        """The payload that this one stands for, or itself. Waits for parts that are missing. Raises PayloadError.

        Parts that nobody waits for any more, because the wait is cancelled, make room for others.
        """
        try:
            ref = blobs.reference(payload)
        except PayloadError:
            raise PayloadError(blobs.INCOMPLETE_TEXT) from None
        if ref is None:
            return payload
        try:
            with trio.move_on_after(WAIT_S):
                while not self._blobs.is_complete(sender, ref):
                    await self._news.wait()
            return self._blobs.collect(sender, ref)
        finally:
            self._blobs.forget(sender, ref)
