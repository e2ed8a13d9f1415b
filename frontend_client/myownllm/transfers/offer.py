"""The offer of a file: what a peer may say, and what becomes of it before a person is asked (spec 08 FE-9.20). Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import attrs

from mesh_common.values import Value
from myownllm.transfers.digest import SHA256_B32
from myownllm.transfers.index_set import read_ranges
from myownllm.transfers.names import sanitize_filename

if TYPE_CHECKING:
    from myownllm.coerce import Json, JsonObject
    from myownllm.transfers.index_set import IndexSet

RESUME_FEATURE: Final = "file_resume_v1"
TRANSFER_FEATURE: Final = "file_transfer_v1"
WITHDRAW_FEATURE: Final = "file_withdraw_v1"
WITHDRAW: Final = "file_withdraw"
"""The call that carries an offer again: the file will not come, and what is there of it goes (spec 10 §2.5)."""
CHUNK_BYTES: Final = 46_080
"""61,440 characters of base64: with the envelope a frame that v0.3.8 carries."""
FILE_MAX_BYTES: Final = 500 * 2**20
"""Between devices that cannot go on with a broken transfer."""
CHUNK_MAX_BYTES: Final = 2**20
CHUNKS_MAX: Final = 65_536
"""Of more chunks only a file that can go on, in chunks of LARGE_CHUNK_MIN_BYTES at least."""
LARGE_CHUNK_MIN_BYTES: Final = 16 * 1024
SIZE_MAX_BYTES: Final = 2**53 - 1
"""The largest number that every JSON reader keeps exact."""
FILENAME_MAX_CHARS: Final = 4096
MIME_MAX_CHARS: Final = 255

INVALID_OFFER: Final = "invalid file_offer payload"
DUPLICATE: Final = "duplicate transfer id"
NO_OFFER: Final = "no accepted offer for id"
TOO_LARGE: Final = "file too large"
NO_RESPONSE: Final = "user did not respond"
DECLINED: Final = "receiver declined"
SHUTTING_DOWN: Final = "receiver is shutting down"
CANCELLED: Final = "receiver cancelled the transfer"
INTERRUPTED: Final = "transfer interrupted"
"""What is there is kept: it goes on with the next offer of the same file."""
BUSY: Final = "too many transfers with this device; wait for one to end"

_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")


def is_transfer_id(value: Json) -> bool:
    """May it name a transfer, and so a channel and a file?"""
    return isinstance(value, str) and _ID.match(value) is not None


def _whole(low: int, high: int) -> Any:
    def check(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ValueError(f"{attribute.name} must be a whole number from {low} to {high}")

    return check


def _text(fits: Any) -> Any:
    def check(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
        if not isinstance(value, str) or not fits(value):
            raise ValueError(f"{attribute.name} is not what it must be")

    return check


@attrs.frozen
class FileOffer:
    """What `file_offer` carries. Raises ValueError for members that nothing honest sends."""

    id: str = attrs.field(validator=_text(is_transfer_id))
    filename: str = attrs.field(validator=_text(lambda v: len(v) <= FILENAME_MAX_CHARS))
    size_bytes: int = attrs.field(validator=_whole(1, SIZE_MAX_BYTES))
    sha256_b32: str = attrs.field(validator=_text(SHA256_B32.match))
    chunk_size: int = attrs.field(validator=_whole(1, CHUNK_MAX_BYTES))
    mime_type: str | None = attrs.field(
        default=None, validator=attrs.validators.optional(_text(lambda v: len(v) <= MIME_MAX_CHARS))
    )
    resume: bool = attrs.field(default=False, validator=attrs.validators.instance_of(bool))
    """the sender understands RESUME_FEATURE"""

    @property
    def name(self) -> str:
        """The filename as it may be stored and shown."""
        return sanitize_filename(self.filename)

    @property
    def chunks(self) -> int:
        return -(-self.size_bytes // self.chunk_size)

    def length(self, index: int) -> int:
        """Bytes of a chunk: only the last one may be shorter."""
        return min(self.chunk_size, self.size_bytes - index * self.chunk_size)

    def same_file(self, other: FileOffer) -> bool:
        """Do chunks of the one fit into the other?"""
        return (self.sha256_b32, self.size_bytes, self.chunk_size) == (
            other.sha256_b32,
            other.size_bytes,
            other.chunk_size,
        )

    def to_json(self) -> JsonObject:
        """The payload on the wire, without members that say nothing."""
        return {k: v for k, v in attrs.asdict(self).items() if v is not None and v is not False}


class Refusal(Value, frozen=True):
    """The offer never reaches a person: a `reason` for declining, or the `error` of a call that makes no sense."""

    reason: str = ""
    error: str = ""


def triage(offer: FileOffer, *, taken: bool, crowded: bool) -> Refusal | None:
    """Why an offer is turned away at once; None: a person decides.

    `taken`: its id is pending or running. `crowded`: the peer, or all together, have as many transfers as they may.
    """
    if offer.size_bytes > FILE_MAX_BYTES and not offer.resume:
        return Refusal(reason=TOO_LARGE)
    if offer.chunks > CHUNKS_MAX and not (offer.resume and offer.chunk_size >= LARGE_CHUNK_MIN_BYTES):
        return Refusal(error=INVALID_OFFER)
    if taken:
        return Refusal(error=DUPLICATE)
    return Refusal(reason=BUSY) if crowded else None


class Reply(Value, frozen=True):
    """The answer to an offer. `held` names the chunks that need not be sent, where both sides can go on."""

    accepted: bool
    reason: str = ""
    held: IndexSet | None = None

    def to_json(self) -> JsonObject:
        answer: JsonObject = {"accepted": self.accepted}
        if self.reason:
            answer["reason"] = self.reason
        if self.held is not None:
            answer["have"] = self.held.told()
        return answer


def read_reply(value: Json, offer: FileOffer) -> Reply:
    """A peer's answer to our offer, read leniently; what is no answer declines."""
    if not isinstance(value, dict) or value.get("accepted") is not True:
        reason = value.get("reason") if isinstance(value, dict) else None
        return Reply(accepted=False, reason=reason if isinstance(reason, str) else "")
    return Reply(accepted=True, held=read_ranges(value["have"], offer.chunks) if "have" in value else None)


def check_size(size_bytes: int, *, resume: bool) -> str:
    """Why a file of that size cannot be offered; empty when it can."""
    if size_bytes == 0:
        return "can't send an empty file"
    if size_bytes > FILE_MAX_BYTES and not resume:
        return f"file is {size_bytes} bytes; cap is {FILE_MAX_BYTES}"
    return ""
