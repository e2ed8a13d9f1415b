"""STUN messages and ChannelData on a stream (spec 06 §8.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from myownmesh.turn.stun import HEADER_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator

KIND: Final = 0xC0
"""The bits of a first byte that say what begins there: none of them a STUN message, `CHANNEL` ChannelData."""
CHANNEL: Final = 0x40
CHANNEL_HEADER_BYTES: Final = 4
CHANNEL_DATA: Final = bytes((CHANNEL,))
"""What is a message compares as less than this, as bytes, and ChannelData never does: no byte need be taken out."""


class BadFrame(ValueError):
    """What cannot begin a frame; the stream is of no more use."""


class Frames:
    """The frames of one stream, as its bytes come. Holds less than one frame (at most 65,555 bytes) between calls."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held = b""

    @property
    def is_amid(self) -> bool:
        """Whether a frame has begun that is not whole."""
        return bool(self._held)

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Each frame that is whole now, without its padding; `BadFrame` behind those in front of a bad one."""
        held = self._held + data if self._held else data
        at, size = 0, len(held)
        try:
            while size - at >= 4:
                kind, length = held[at] & KIND, held[at + 2] << 8 | held[at + 3]
                if kind not in (0, CHANNEL):
                    raise BadFrame(f"no frame begins with {held[at]:#04x}")
                end = at + length + (CHANNEL_HEADER_BYTES if kind else HEADER_BYTES)
                after = end + (-length % 4 if kind else 0)
                if after > size:
                    break
                frame = held[at:end]
                at = after
                yield frame
        finally:
            self._held = held[at:]


def framed(data: bytes) -> bytes:
    """A message as it stands on a stream."""
    return data + bytes(-len(data) % 4)
