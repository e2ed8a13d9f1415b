"""What a relay has told its members already: twice is once too often. Pure."""

from __future__ import annotations

import hashlib
from typing import Final

GENERATION: Final = 32768
"""Between one and two of these are remembered, some 120 bytes each. It is more than one relay can hold for another one:
whoever missed something is told all that is kept, which is 8,192 events at each, and who is there."""


class Known:
    """The last events, by their marks."""

    def __init__(self) -> None:
        self._young: set[bytes] = set()
        self._old: set[bytes] = set()

    def add(self, mark: bytes) -> None:
        self._young.add(mark)
        if len(self._young) >= GENERATION:
            self._young, self._old = set(), self._young

    def __contains__(self, mark: bytes) -> bool:
        return mark in self._young or mark in self._old


def mark_of(text: bytes) -> bytes:
    """Of an event as `encoded` writes it: of all of it, since others may say anything under its id and signature."""
    return hashlib.blake2b(text, digest_size=16).digest()
