"""What a node remembers of frames that it passes on (spec 01 §14.3)."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from myownmesh.protocol.tokens import TokenBucket

COPIES_KNOWN: Final = 2048
"""Frames whose copies are recognised; the oldest is forgotten."""

FORWARD_BYTES_PER_S: Final = 4.0 * 2**20
FORWARD_BURST_BYTES: Final = 8.0 * 2**20
"""Per carrier: what we pass on for it, copies counted; beyond that its frames end here."""


class Routes:
    """What one network's node remembers of frames on their way."""

    def __init__(self) -> None:
        self._seen: OrderedDict[tuple[str, int], None] = OrderedDict()
        self._allowance: dict[str, TokenBucket] = {}

    @property
    def copies(self) -> int:
        """Frames that are remembered."""
        return len(self._seen)

    @property
    def carriers(self) -> int:
        """Peers whose allowance is kept."""
        return len(self._allowance)

    def is_first(self, origin: str, frame_id: int) -> bool:
        """Remember a frame; False for a copy. Id 0 always passes."""
        if frame_id == 0:
            return True
        key = (origin, frame_id)
        if key in self._seen:
            return False
        self._seen[key] = None
        if len(self._seen) > COPIES_KNOWN:
            self._seen.popitem(last=False)
        return True

    def may_carry(self, carrier: str, nbytes: int, mono: float) -> bool:
        """Spend of the carrier's allowance."""
        bucket = self._allowance.get(carrier)
        if bucket is None:
            bucket = self._allowance[carrier] = TokenBucket(FORWARD_BYTES_PER_S, FORWARD_BURST_BYTES, mono)
        if not bucket.has_one(mono):
            return False
        bucket.force(mono, nbytes)
        return True

    def forget(self, carrier: str) -> None:
        """The link is gone."""
        self._allowance.pop(carrier, None)
