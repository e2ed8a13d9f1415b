"""Sentences as WAV files, spoken by espeak-ng."""

from __future__ import annotations

import ctypes
import wave
from typing import TYPE_CHECKING, Any

import espeakng_loader

if TYPE_CHECKING:
    from pathlib import Path

_RETRIEVAL = 1  # samples go to a callback, not to a sound card
_UTF8 = 1


def speak(text: str, path: Path, *, pause_s: float = 0.3) -> Path:
    """Write the sentence, and some silence on both sides, as a mono file of espeak's own rate."""
    library = ctypes.CDLL(str(espeakng_loader.get_library_path()))
    rate = library.espeak_Initialize(_RETRIEVAL, 0, str(espeakng_loader.get_data_path()).encode(), 0)
    assert rate > 0, rate
    heard = bytearray()

    @ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
    def take(samples: Any, count: int, _: int) -> int:
        if samples and count > 0:
            heard.extend(ctypes.string_at(samples, count * 2))
        return 0

    library.espeak_SetSynthCallback(take)
    library.espeak_SetParameter(1, 100, 0)  # words a minute
    data = text.encode()
    assert library.espeak_Synth(data, len(data) + 1, 0, 1, 0, _UTF8, None, None) == 0
    library.espeak_Synchronize()
    library.espeak_Terminate()
    silence = bytes(int(rate * pause_s) * 2)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(silence + bytes(heard) + silence)
    return path
