"""Time that passes only when nothing is left to do."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Any, TypeVar

from myownmesh.protocol.clock import Instant

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

EPOCH_MS = 1_700_000_000_000
"""Wall time of second zero."""


_Item = tuple[float, int, "Callable[[], None]", "_Crowd | None"]
"""When, the how manyth that was asked for, what; or, of what was asked for together, those that are left."""
_Crowd = tuple["Callable[[Any], None]", "list[tuple[float, int, Any]]"]
"""What to do with each, and when with whom: the last one first."""
T = TypeVar("T")


class VirtualClock:
    """Runs callbacks in the order of their times; equal times in the order in which they were asked for.

    Only what is due within a second stands in the heap, which so stays small enough for the caches of a processor.
    """

    __slots__ = (
        "_count",
        "_heap",
        "_horizon",
        "_later",
        "moment",
        "seconds",
    )

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

    def all_after(self, delays: Iterable[tuple[float, T]], act: Callable[[T], None]) -> None:
        """`after` for each, with `act` of it. What is announced to hundreds at once is one item."""
        now, count = self.seconds, self._count
        items: list[tuple[float, int, Any]] = [
            (now + delay if delay > 0.0 else now, count + number, each)
            for number, (delay, each) in enumerate(delays, 1)
        ]
        if items:
            self._count += len(items)
            items.sort(reverse=True)  # numbers differ, so what they are for is not compared
            at, number, _ = items[-1]
            self._put((at, number, _nothing, (act, items)))

    def after(self, delay: float, callback: Callable[[], None]) -> None:
        self.at(self.seconds + delay, callback)

    def run(self, seconds: float, until: Callable[[], bool] | None = None) -> bool:
        """Let `seconds` pass, or less if `until` comes true; True when it did."""
        end = self.seconds + seconds
        if until is not None and until():
            return True
        while self._heap or self._fetch(end):
            at, _, callback, crowd = self._heap[0]
            if at > end:
                break
            self.seconds = at
            if crowd is None:
                heapq.heappop(self._heap)
                callback()
            else:
                act, items = crowd
                each = items.pop()[2]
                self._put_back(crowd)
                act(each)
            if until is not None and until():
                return True
        self.seconds = end
        return until is None

    def _put_back(self, crowd: _Crowd) -> None:
        """The first item is of this crowd: put it where the next of the crowd belongs, mostly at the same place."""
        heap, items = self._heap, crowd[1]
        if not items:
            heapq.heappop(heap)
            return
        at, number, _ = items[-1]
        item = (at, number, _nothing, crowd)
        if at >= self._horizon:
            heapq.heappop(heap)
            self._put(item)
        elif (len(heap) < 2 or item < heap[1]) and (len(heap) < 3 or item < heap[2]):
            heap[0] = item  # before both that follow in the heap, and so before all
        else:
            heapq.heapreplace(heap, item)

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


def _nothing() -> None:
    """A crowd has no callback of its own."""
