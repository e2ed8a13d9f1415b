"""Audio as numbers: whatever a WAV file holds becomes 16 kHz, one channel, signed 16-bit little-endian. Pure."""

from __future__ import annotations

import struct
import sys
from array import array
from typing import Final

RATE: Final = 16_000
SAMPLE_BYTES: Final = 2
FRAME_BYTES: Final = RATE * SAMPLE_BYTES
"""One second, which is what one message carries (spec 08 §9.6)."""
RATE_MAX: Final = 384_000
CHANNELS_MAX: Final = 64


class AudioError(ValueError):
    """Audio that nobody here can read; the text says why."""


class Converter:
    """Takes a file's frames in pieces of any size, and gives what is finished of them.

    Several channels are averaged. A higher rate is averaged down and a lower one interpolated, which is what speech
    needs and nothing better.
    """

    def __init__(self, rate: int, channels: int, sample_bytes: int) -> None:
        """Raises AudioError for a format that is none."""
        if not 1000 <= rate <= RATE_MAX:
            raise AudioError(f"{rate} samples a second is no rate of speech")
        if not 1 <= channels <= CHANNELS_MAX or sample_bytes not in (1, 2, 3, 4):
            raise AudioError(f"{channels} channels of {sample_bytes * 8} bits are not known here")
        self._rate = rate
        self._channels = channels
        self._sample_bytes = sample_bytes
        self._rest = b""
        self._samples: list[int] = []
        self._first = 0  # number of the first sample in `_samples`
        self._made = 0

    def feed(self, data: bytes) -> bytes:
        """What can be told now of the audio so far."""
        data = self._rest + data
        whole = len(data) - len(data) % (self._channels * self._sample_bytes)
        self._rest = data[whole:]
        self._samples += self._mono(_samples(data[:whole], self._sample_bytes))
        return self._make(self._first + len(self._samples) - 1)

    def flush(self) -> bytes:
        """The end; a frame that is not whole is dropped."""
        if self._samples:
            self._samples.append(self._samples[-1])
        return self._make(self._first + len(self._samples) - 1)

    def _mono(self, samples: array[int]) -> list[int]:
        if self._channels == 1:
            return samples.tolist()
        columns = [samples[channel :: self._channels] for channel in range(self._channels)]
        return [sum(frame) // self._channels for frame in zip(*columns, strict=True)]

    def _make(self, last: int) -> bytes:
        """Every output sample whose input lies wholly before the input sample `last`."""
        if self._rate == RATE:
            out = self._samples[: max(0, last - self._first)]
            self._drop(self._first + len(out))
        elif self._rate > RATE:
            out = self._averaged(last)
        else:
            out = self._interpolated(last)
        made = array("h", out)
        if sys.byteorder == "big":
            made.byteswap()
        return made.tobytes()

    def _averaged(self, last: int) -> list[int]:
        out: list[int] = []
        start = self._made * self._rate // RATE
        while (end := (self._made + 1) * self._rate // RATE) <= last:
            window = self._samples[start - self._first : end - self._first]
            out.append(sum(window) // len(window))
            self._made += 1
            start = end
        self._drop(start)
        return out

    def _interpolated(self, last: int) -> list[int]:
        out: list[int] = []
        while True:
            whole, part = divmod(self._made * self._rate, RATE)
            if whole + 1 > last:
                break
            left, right = self._samples[whole - self._first], self._samples[whole + 1 - self._first]
            out.append(left + (right - left) * part // RATE)
            self._made += 1
        self._drop(min(whole, last))
        return out

    def _drop(self, before: int) -> None:
        del self._samples[: max(0, before - self._first)]
        self._first = max(self._first, before)


def _samples(data: bytes, sample_bytes: int) -> array[int]:
    """Signed 16-bit samples; WAV files hold 8 bits unsigned and everything else signed, little-endian."""
    if sample_bytes == 1:
        return array("h", [(byte - 128) << 8 for byte in data])
    if sample_bytes > 2:  # the two high bytes of each
        high = bytearray(len(data) // sample_bytes * 2)
        high[0::2], high[1::2] = data[sample_bytes - 2 :: sample_bytes], data[sample_bytes - 1 :: sample_bytes]
        data = bytes(high)
    samples = array("h", data)
    if sys.byteorder == "big":
        samples.byteswap()
    return samples


def as_wav(pcm: bytes) -> bytes:
    """A WAV file of 16 kHz samples."""
    return (
        struct.pack("<4sI4s", b"RIFF", 36 + len(pcm), b"WAVE")
        + struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, RATE, RATE * SAMPLE_BYTES, SAMPLE_BYTES, 16)
        + struct.pack("<4sI", b"data", len(pcm))
        + pcm
    )


def duration_ms(size_bytes: int) -> int:
    return size_bytes * 1000 // (RATE * SAMPLE_BYTES)
