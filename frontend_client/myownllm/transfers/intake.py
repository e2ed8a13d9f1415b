"""One file as it comes in: which chunks count, and when all are there (spec 08 FE-9.20, FE-9.22). Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs
import msgspec

from myownllm.errors import AppError
from myownllm.transfers.index_set import IndexSet

if TYPE_CHECKING:
    from myownllm.coerce import Json, JsonObject
    from myownllm.transfers.offer import FileOffer

BAD_LENGTH: Final = "bad chunk length"
MISSING: Final = "missing chunk"
ABORTED: Final = "aborted"
ABORT_INDEX: Final = -1


class ChunkError(AppError):
    """The transfer cannot go on; the text is what the sender reads."""


class AbortedError(ChunkError):
    """The sender has cancelled."""

    def __init__(self) -> None:
        super().__init__(ABORTED)


@attrs.frozen
class Chunk:
    """Bytes for one place of the file."""

    index: int
    offset: int
    data: bytes = attrs.field(repr=False)


class Intake:
    """The chunks of an accepted offer. What others send on its channel must be kept away from it by the caller."""

    def __init__(self, offer: FileOffer, held: IndexSet | None = None) -> None:
        self.offer = offer
        self.held = IndexSet() if held is None else held

    @property
    def complete(self) -> bool:
        return self.held.count == self.offer.chunks

    @property
    def bytes_held(self) -> int:
        """Bytes that are there; the last chunk may be a shorter one."""
        last = self.offer.chunks - 1
        size = self.held.count * self.offer.chunk_size
        return size - (self.offer.chunk_size - self.offer.length(last)) if last in self.held else size

    def take(self, payload: Json) -> Chunk | None:
        """What is to be stored, once for each chunk; None for what does not count.

        Raises AbortedError when the sender gives up, ChunkError for a chunk that no honest sender makes.
        """
        match payload:
            case {"index": bool()}:
                return None
            case {"index": int(index), "aborted": True} if index == ABORT_INDEX:
                raise AbortedError
            case {"index": int(index), "bytes_b64": str(text)} if 0 <= index < self.offer.chunks:
                pass
            case _:
                return None
        if index in self.held:
            return None
        length = self.offer.length(index)
        if len(text) != -(-length // 3) * 4:  # looked at first: what is too long is not even decoded
            raise ChunkError(BAD_LENGTH)
        try:
            data = msgspec.convert(text, bytes)  # six times as fast as the standard library, and as strict
        except msgspec.ValidationError:
            raise ChunkError(BAD_LENGTH) from None
        if len(data) != length:
            raise ChunkError(BAD_LENGTH)
        if not self.held.add(index):
            return None  # too scattered: the sender is told that it is missing
        return Chunk(index, index * self.offer.chunk_size, data)


def abort_payload() -> JsonObject:
    """What a sender that cancels publishes; old receivers ignore it."""
    return {"index": ABORT_INDEX, "bytes_b64": "", "is_final": True, "aborted": True}
