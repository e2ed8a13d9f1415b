"""What a relay has not been able to say yet: bounded, the oldest goes first. Pure."""

from __future__ import annotations

from collections import deque
from typing import Final

OUTBOX_ENTRIES: Final = 8192
OUTBOX_BYTES: Final = 32 * 2**20
"""As much as a relay keeps of what it has heard."""
BATCH_BYTES: Final = 65536
"""Enough for hundreds of entries; a longer entry goes alone."""


class Outbox:
    def __init__(self) -> None:
        self._entries: deque[tuple[bytes, float | None]] = deque()
        self._bytes = 0
        self.has_lost = False
        """Something went that nobody has heard: what is present has to be said anew."""

    def add(self, entry: bytes, useless_at: float | None = None) -> None:
        """`useless_at`: when nobody can do anything with it any more."""
        self._entries.append((entry, useless_at))
        self._bytes += len(entry)
        while len(self._entries) > OUTBOX_ENTRIES or self._bytes > OUTBOX_BYTES:
            self._bytes -= len(self._entries.popleft()[0])
            self.has_lost = True

    def take(self, now: float) -> list[bytes]:
        """As much as one batch holds."""
        taken: list[bytes] = []
        size = 0
        while self._entries:
            entry, useless_at = self._entries[0]
            if useless_at is None or now < useless_at:
                if taken and size + len(entry) > BATCH_BYTES:
                    break
                taken.append(entry)
                size += len(entry)
            self._entries.popleft()
            self._bytes -= len(entry)
        return taken
