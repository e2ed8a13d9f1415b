"""Payloads that no mesh frame holds, taken apart and put together again (spec 08 FE-9.49). Pure."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Final

import attrs
import msgspec
from attrs import validators

from myownllm.payloads import PayloadError, structure
from myownllm.transfers.digest import sha256_base32

if TYPE_CHECKING:
    from collections.abc import Iterator

    from myownllm.coerce import Json, JsonObject

CHANNEL: Final = "blob/v1"
FEATURE_ID: Final = "large_payload_v1"
PART_BYTES: Final = 46_080
"""Raw bytes of a part; 61 440 in base64."""
BLOB_MAX_BYTES: Final = 16 * 2**20
SENDER_MAX_BYTES: Final = 2 * BLOB_MAX_BYTES
"""Of one device, so that it cannot keep the others out."""
SENDER_BLOBS: Final = 32
ALL_MAX_BYTES: Final = 64 * 2**20
KEEP_S: Final = 60.0
INCOMPLETE_TEXT: Final = "large payload incomplete"
MEMBER: Final = "__blob"
STREAM_ID_MAX: Final = 64
"""Characters in the name of a call (FE-9.7)."""
_ID: Final = validators.matches_re(r"[0-9a-f]{16}\Z")


@attrs.frozen
class Part:
    """One message of the channel."""

    id: str = attrs.field(validator=_ID)
    index: int = attrs.field(validator=validators.ge(0))
    total: int = attrs.field(validator=[validators.ge(1), validators.le(-(-BLOB_MAX_BYTES // PART_BYTES))])
    bytes_b64: str = attrs.field(validator=validators.max_len(PART_BYTES // 3 * 4), repr=False)


@attrs.frozen
class Reference:
    """What goes in the payload's place."""

    id: str = attrs.field(validator=_ID)
    size: int = attrs.field(validator=[validators.ge(1), validators.le(BLOB_MAX_BYTES)])
    sha256_b32: str = attrs.field(validator=validators.matches_re(r"[a-z2-7]{52}\Z"))
    stream_id: str = attrs.field(default="", validator=validators.max_len(STREAM_ID_MAX))
    """name of the call inside, so that it can be taken back before its parts are here"""


def reference(payload: Json) -> Reference | None:
    """What a payload stands for, or None when it is itself. Raises PayloadError for a broken one."""
    if not isinstance(payload, dict) or set(payload) != {MEMBER}:
        return None
    return structure(Reference, payload[MEMBER])


def refer(blob_id: str, data: bytes, stream_id: str = "") -> JsonObject:
    """The payload that stands for `data`, a call of that name."""
    named = {"stream_id": stream_id} if stream_id else {}
    return {MEMBER: {"id": blob_id, "size": len(data), "sha256_b32": sha256_base32(data), **named}}


def stream_id_of(payload: Json) -> str:
    """The name by which the call with this payload can be taken back; empty when it has none (FE-9.7)."""
    if not isinstance(payload, dict):
        return ""
    named = payload[MEMBER] if set(payload) == {MEMBER} else payload
    name = named.get("stream_id") if isinstance(named, dict) else None
    return name if isinstance(name, str) and len(name) <= STREAM_ID_MAX else ""


def parts(blob_id: str, data: bytes) -> Iterator[JsonObject]:
    """The messages that carry `data`, in order."""
    total = -(-len(data) // PART_BYTES)
    for index in range(total):
        raw = data[index * PART_BYTES : (index + 1) * PART_BYTES]
        yield {"id": blob_id, "index": index, "total": total, "bytes_b64": base64.b64encode(raw).decode()}


@attrs.define
class _Blob:
    total: int
    until: float
    pieces: dict[int, bytes] = attrs.field(factory=dict)
    size: int = 0


class Blobs:
    """Parts that came, by sender and id: bounded, and forgotten after a minute. `now` is in monotonic seconds."""

    def __init__(self) -> None:
        self._blobs: dict[tuple[str, str], _Blob] = {}

    def take(self, sender: str, message: Json, now: float) -> bool:
        """A message of the channel; False when it is dropped. Sent twice it counts once."""
        self._expire(now)
        try:
            part = structure(Part, message)
            raw = base64.b64decode(part.bytes_b64, validate=True)
        except (PayloadError, ValueError):  # base64 says the latter of text that is none
            return False
        is_last = part.index == part.total - 1
        if part.index >= part.total or not raw or (len(raw) != PART_BYTES and not is_last):
            return False
        blob = self._blobs.get((sender, part.id))
        if blob is None:
            blob = _Blob(part.total, now + KEEP_S)
        if blob.total != part.total or part.index in blob.pieces or not self._has_room(sender, len(raw)):
            return False
        self._blobs[sender, part.id] = blob
        blob.pieces[part.index] = raw
        blob.size += len(raw)
        return True

    def is_complete(self, sender: str, ref: Reference) -> bool:
        blob = self._blobs.get((sender, ref.id))
        return blob is not None and len(blob.pieces) == blob.total

    def collect(self, sender: str, ref: Reference) -> Json:
        """The whole payload, which is then forgotten. Raises PayloadError when it is not what the reference says."""
        blob = self._blobs.pop((sender, ref.id), None)
        if blob is None or len(blob.pieces) != blob.total:
            raise PayloadError(INCOMPLETE_TEXT)
        data = b"".join(blob.pieces[i] for i in range(blob.total))
        if len(data) != ref.size or sha256_base32(data) != ref.sha256_b32:
            raise PayloadError(INCOMPLETE_TEXT)
        try:
            return msgspec.json.decode(data)
        except (msgspec.DecodeError, RecursionError, ValueError):
            raise PayloadError(INCOMPLETE_TEXT) from None

    def forget(self, sender: str, ref: Reference) -> None:
        """Nobody waits for this payload any more."""
        self._blobs.pop((sender, ref.id), None)

    def _has_room(self, sender: str, size: int) -> bool:
        held = [b.size for (owner, _), b in self._blobs.items() if owner == sender]
        everything = sum(b.size for b in self._blobs.values())
        return len(held) <= SENDER_BLOBS and sum(held) + size <= SENDER_MAX_BYTES and everything + size <= ALL_MAX_BYTES

    def _expire(self, now: float) -> None:
        for key in [k for k, b in self._blobs.items() if b.until <= now]:
            del self._blobs[key]
