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
    """Runs callbacks in the order of their times; equal times in the order in which they were asked for.

    Only what is due within a second stands in the heap, which so stays small enough for the caches of a processor.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self._heap: list[_Item] = []
        self._horizon = 0
        """The second from which on nothing stands in the heap."""
        self._later: dict[int, list[_Item]] = {}
        """What is due in each second from there on, in no order."""
        self._count = 0
        self.moment = Instant(0.0, EPOCH_MS)
        """The last one that was asked for: while one event is worked through, that happens again and again."""

    def now(self, skew_ms: int = 0) -> Instant:
        moment = self.moment
        if moment.mono != self.seconds:
            moment = self.moment = Instant(self.seconds, EPOCH_MS + round(self.seconds * 1000))
        return moment if not skew_ms else Instant(self.seconds, moment.wall_ms + skew_ms)

    def at(self, seconds: float, callback: Callable[[], None]) -> None:
        self._count += 1
        self._put((seconds if seconds > self.seconds else self.seconds, self._count, callback, None))

    def all_after(self, delays: Iterable[tuple[float, Callable[[], None]]]) -> None:
        """`after` for each. What is announced to hundreds at once is one item, with its first one."""
        items: list[_Item] = []
        for delay, callback in delays:
            self._count += 1
            items.append((max(self.seconds + delay, self.seconds), self._count, callback, None))
        if items:
            items.sort(reverse=True)
            at, number, callback, _ = items.pop()
            self._put((at, number, callback, items))

    def after(self, delay: float, callback: Callable[[], None]) -> None:
        self.at(self.seconds + delay, callback)

    def run(self, seconds: float, until: Callable[[], bool] | None = None) -> bool:
        """Let `seconds` pass, or less if `until` comes true; True when it did."""
        end = self.seconds + seconds
        if until is not None and until():
            return True
        pop, replace = heapq.heappop, heapq.heapreplace
        while self._heap or self._fetch(end):
            heap = self._heap
            at, _, callback, others = heap[0]
            if at > end:
                break
            self.seconds = at
            if others:
                at, number, each, _ = others.pop()
                if at < self._horizon:
                    replace(heap, (at, number, each, others))
                else:
                    pop(heap)
                    self._put((at, number, each, others))
            else:
                pop(heap)
            callback()
            if until is not None and until():
                return True
        self.seconds = end
        return until is None

    def _put(self, item: _Item) -> None:
        at = item[0]
        if at < self._horizon:
            heapq.heappush(self._heap, item)
        elif (later := self._later.get(int(at))) is not None:
            later.append(item)
        else:
            self._later[int(at)] = [item]

    def _fetch(self, end: float) -> bool:
        """Take what the next second holds in which anything is due; False if that begins behind `end`."""
        second = min(self._later, default=None)
        if second is None or second > end:
            return False
        self._heap = self._later.pop(second)
        self._horizon = second + 1
        heapq.heapify(self._heap)
        return True
