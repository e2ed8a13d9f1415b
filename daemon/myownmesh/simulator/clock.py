"""Time that passes only when nothing is left to do."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

from myownmesh.protocol.clock import Instant

if TYPE_CHECKING:
    from collections.abc import Callable

EPOCH_MS = 1_700_000_000_000
"""Wall time of second zero."""


class VirtualClock:
    """Runs callbacks in the order of their times; equal times in the order in which they were asked for."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0

    def now(self, skew_ms: int = 0) -> Instant:
        return Instant(self.seconds, EPOCH_MS + round(self.seconds * 1000) + skew_ms)

    def at(self, seconds: float, callback: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._heap, (max(seconds, self.seconds), self._count, callback))

    def after(self, delay: float, callback: Callable[[], None]) -> None:
        self.at(self.seconds + delay, callback)

    def run(self, seconds: float, until: Callable[[], bool] | None = None) -> bool:
        """Let `seconds` pass, or less if `until` comes true; True when it did."""
        end = self.seconds + seconds
        if until is not None and until():
            return True
        while self._heap and self._heap[0][0] <= end:
            self.seconds, _, callback = heapq.heappop(self._heap)
            callback()
            if until is not None and until():
                return True
        self.seconds = end
        return until is None
