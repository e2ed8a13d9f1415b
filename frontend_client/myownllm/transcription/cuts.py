"""Where speech is cut, so that a recogniser of whole recordings can listen to a stream: at the quietest place. Pure."""

from __future__ import annotations

import math
from array import array
from typing import Final

import attrs

from myownllm.transcription.pcm import RATE, SAMPLE_BYTES, duration_ms

CUT_FROM_S: Final = 6
"""A recogniser needs a sentence to understand its words."""
CUT_UNTIL_S: Final = 14
"""And people want to read along."""
STEP_MS: Final = 100
"""The pieces among which the quietest is looked for; about a pause between words."""
_STEP_BYTES: Final = RATE * SAMPLE_BYTES * STEP_MS // 1000
_FROM_BYTES: Final = CUT_FROM_S * RATE * SAMPLE_BYTES
_UNTIL_BYTES: Final = CUT_UNTIL_S * RATE * SAMPLE_BYTES


@attrs.frozen
class Stretch:
    """Audio between two cuts; `start_ms` from the beginning of the recording."""

    start_ms: int
    pcm: bytes = attrs.field(repr=False)

    @property
    def end_ms(self) -> int:
        return self.start_ms + duration_ms(len(self.pcm))


class Cutter:
    """Takes audio as it comes, and gives stretches of 6 to 14 seconds; the last one may be shorter."""

    def __init__(self) -> None:
        self._waiting = bytearray()
        self._cut = 0

    def feed(self, pcm: bytes) -> list[Stretch]:
        self._waiting += pcm
        out: list[Stretch] = []
        while len(self._waiting) >= _UNTIL_BYTES:
            out.append(self._take(self._quietest()))
        return out

    def flush(self) -> list[Stretch]:
        """The end of the recording."""
        whole = len(self._waiting) - len(self._waiting) % SAMPLE_BYTES
        return [self._take(whole)] if whole else []

    def _take(self, size: int) -> Stretch:
        stretch = Stretch(duration_ms(self._cut), bytes(self._waiting[:size]))
        del self._waiting[:size]
        self._cut += size
        return stretch

    def _quietest(self) -> int:
        """The middle of the quietest piece, the last one of equals."""
        starts = range(_FROM_BYTES, _UNTIL_BYTES - _STEP_BYTES + 1, _STEP_BYTES)
        best = min(starts, key=lambda at: (loudness(bytes(self._waiting[at : at + _STEP_BYTES])), -at))
        return best + _STEP_BYTES // 2 // SAMPLE_BYTES * SAMPLE_BYTES


def loudness(pcm: bytes) -> float:
    """The root of the mean square of samples, on this machine's byte order or not: compared only."""
    samples = array("h", pcm)
    return math.sqrt(sum(s * s for s in samples) / len(samples)) if samples else 0.0
