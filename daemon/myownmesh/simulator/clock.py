"""Time that passes only when nothing is left to do."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Any

from myownmesh.protocol.clock import Instant

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

EPOCH_MS = 1_700_000_000_000
"""Wall time of second zero."""


_Item = tuple[float, int, "Callable[[], None]", "list[Any] | None"]
"""When, the how manyth that was asked for, what, and the items that were asked for together with it, last one first."""


class VirtualClock:
    """Runs callbacks in the order of their times; equal times in the order in which they were asked for."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._heap: list[_Item] = []
        self._count = 0
        self._moment = Instant(0.0, EPOCH_MS)
        """Asked for again and again while one event is worked through."""

    def now(self, skew_ms: int = 0) -> Instant:
        moment = self._moment
        if moment.mono != self.seconds:
            moment = self._moment = Instant(self.seconds, EPOCH_MS + round(self.seconds * 1000))
        return moment if not skew_ms else Instant(self.seconds, moment.wall_ms + skew_ms)

    def at(self, seconds: float, callback: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._heap, (max(seconds, self.seconds), self._count, callback, None))

    def all_after(self, delays: Iterable[tuple[float, Callable[[], None]]]) -> None:
        """`after` for each. What is announced to hundreds at once stands in the heap once, with its first one."""
        items: list[_Item] = []
        for delay, callback in delays:
            self._count += 1
            items.append((max(self.seconds + delay, self.seconds), self._count, callback, None))
        if items:
            items.sort(reverse=True)
            at, number, callback, _ = items.pop()
            heapq.heappush(self._heap, (at, number, callback, items))

    def after(self, delay: float, callback: Callable[[], None]) -> None:
        self.at(self.seconds + delay, callback)

    def run(self, seconds: float, until: Callable[[], bool] | None = None) -> bool:
        """Let `seconds` pass, or less if `until` comes true; True when it did."""
        end = self.seconds + seconds
        if until is not None and until():
            return True
        heap, pop, replace = self._heap, heapq.heappop, heapq.heapreplace
        while heap and heap[0][0] <= end:
            self.seconds, _, callback, others = heap[0]
            if others:
                at, number, each, _ = others.pop()
                replace(heap, (at, number, each, others))
            else:
                pop(heap)
            callback()
            if until is not None and until():
                return True
        self.seconds = end
        return until is None
