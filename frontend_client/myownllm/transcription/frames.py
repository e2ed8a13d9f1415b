"""Audio on its channel: frames that are numbered, and put in order again where they arrive (spec 08 FE-9.28). Pure."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Final

import attrs

from myownllm.transcription.pcm import FRAME_BYTES, SAMPLE_BYTES

if TYPE_CHECKING:
    from myownllm.coerce import Json, JsonObject

WINDOW: Final = 32
"""Frames ahead of the next one that are kept."""
GAP_S: Final = 5.0
"""A missing frame is waited for so long; then it is skipped."""
FRAME_MAX_BYTES: Final = 46_080
"""More does not fit into one message."""
INDEX_MAX: Final = 2**31


@attrs.frozen
class AudioFrame:
    """About one second of audio."""

    index: int
    pcm: bytes = attrs.field(repr=False)
    is_final: bool = False

    def to_json(self) -> JsonObject:
        return {"index": self.index, "bytes_b64": base64.b64encode(self.pcm).decode(), "is_final": self.is_final}


def read_frame(payload: Json) -> AudioFrame | None:
    """A message on the channel; None for what is no frame."""
    match payload:
        case {"index": bool()}:
            return None
        case {"index": int(index), "bytes_b64": str(text)} if 0 <= index < INDEX_MAX:
            pass
        case _:
            return None
    if len(text) > FRAME_MAX_BYTES // 3 * 4:
        return None
    try:
        pcm = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    if len(pcm) % SAMPLE_BYTES:
        return None
    return AudioFrame(index, pcm, payload.get("is_final") is True)


def cut_frames(pcm: bytes) -> tuple[list[bytes], bytes]:
    """Whole seconds of audio, and the rest."""
    whole = len(pcm) - len(pcm) % FRAME_BYTES
    return [pcm[at : at + FRAME_BYTES] for at in range(0, whole, FRAME_BYTES)], pcm[whole:]


class Reorder:
    """Gives audio in the order of its frames, each once.

    `put` and `skip` return what may be listened to now; `ended` is True behind the final frame. `now` is in seconds.
    """

    def __init__(self) -> None:
        self.ended = False
        self.skipped = 0
        """frames that never came"""
        self._next = 0
        self._ahead: dict[int, AudioFrame] = {}
        self._gap_since: float | None = None

    @property
    def heard(self) -> int:
        """Frames that have been given or skipped."""
        return self._next

    @property
    def due(self) -> float | None:
        """When to call `skip`; None while nothing is missing."""
        return None if self._gap_since is None else self._gap_since + GAP_S

    def put(self, frame: AudioFrame, now: float) -> bytes:
        """Duplicates and frames too far ahead are dropped."""
        if self.ended or not self._next <= frame.index < self._next + WINDOW:
            return b""
        self._ahead.setdefault(frame.index, frame)
        return self._give(now)

    def skip(self, now: float) -> bytes:
        """Give up on what is missing, if it has been for long enough."""
        if self._gap_since is None or now < self._gap_since + GAP_S:
            return b""
        first = min(self._ahead)
        self.skipped += first - self._next
        self._next = first
        return self._give(now)

    def _give(self, now: float) -> bytes:
        before = self._next
        out = bytearray()
        while not self.ended and (frame := self._ahead.pop(self._next, None)) is not None:
            out += frame.pcm
            self.ended = frame.is_final
            self._next += 1
        if not self._ahead or self.ended:
            self._gap_since = None
        elif self._next > before or self._gap_since is None:
            self._gap_since = now
        return bytes(out)
