"""What a relay has told its members already: twice is once too often. Pure."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from myownmesh.signaling.nostr import NostrEvent

GENERATION: Final = 32768
"""Between one and two of these are remembered, some 120 bytes each. It is more than one relay can hold for another one:
whoever missed something is told all that is kept, which is 8,192 events at each, and who is there."""


class Known:
    """The last events, by what their id and their signature come to."""

    def __init__(self) -> None:
        self._young: set[bytes] = set()
        self._old: set[bytes] = set()

    def add(self, event: NostrEvent) -> None:
        self._young.add(_digest(event))
        if len(self._young) >= GENERATION:
            self._young, self._old = set(), self._young

    def __contains__(self, event: NostrEvent) -> bool:
        digest = _digest(event)
        return digest in self._young or digest in self._old


def _digest(event: NostrEvent) -> bytes:
    return hashlib.blake2b(f"{event.id}{event.sig}".encode("utf-8", "replace"), digest_size=16).digest()
