"""A set of chunk numbers, kept as ranges: small for a file that arrives in order, however large it is. Pure."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from myownllm.coerce import Json

RANGES_MAX: Final = 32_768
"""So that 65,536 chunks may come in any order; about 2 MB."""
RANGES_TOLD: Final = 256
"""Ranges in one message; chunks beyond them are sent again."""


class IndexSet:
    """Whole numbers from 0. One that would begin more than RANGES_MAX ranges is not taken in."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []  # each behind its range
        self.count = 0

    def __contains__(self, index: int) -> bool:
        at = bisect_right(self._starts, index) - 1
        return at >= 0 and index < self._ends[at]

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """The ranges (first, behind the last), ascending."""
        return zip(self._starts, self._ends, strict=True)

    @property
    def prefix(self) -> int:
        """How many are there from 0 on without a gap."""
        return self._ends[0] if self._starts and self._starts[0] == 0 else 0

    def next_missing(self, index: int) -> int:
        """The first number from `index` on that is not there."""
        at = bisect_right(self._starts, index) - 1
        return max(index, self._ends[at]) if at >= 0 else index

    def add(self, index: int) -> bool:
        """False when it is there already, or cannot be taken in."""
        at = bisect_right(self._starts, index) - 1
        if at >= 0 and index < self._ends[at]:
            return False
        joins_left = at >= 0 and self._ends[at] == index
        joins_right = at + 1 < len(self._starts) and self._starts[at + 1] == index + 1
        if joins_left and joins_right:
            self._ends[at] = self._ends.pop(at + 1)
            del self._starts[at + 1]
        elif joins_left:
            self._ends[at] = index + 1
        elif joins_right:
            self._starts[at + 1] = index
        elif len(self._starts) >= RANGES_MAX:
            return False
        else:
            self._starts.insert(at + 1, index)
            self._ends.insert(at + 1, index + 1)
        self.count += 1
        return True

    def told(self) -> list[list[int]]:
        """The first ranges as JSON, for a message."""
        return [[start, end] for start, end in zip(self._starts[:RANGES_TOLD], self._ends[:RANGES_TOLD], strict=True)]


def all_of(total: int) -> IndexSet:
    """Every number below `total`."""
    held = IndexSet()
    if total:
        held._starts, held._ends, held.count = [0], [total], total
    return held


def read_ranges(value: Json, total: int) -> IndexSet | None:
    """What a peer tells that it holds of `total` chunks, or None when that is nothing that `told` writes."""
    if not isinstance(value, list) or len(value) > RANGES_TOLD:
        return None
    held = IndexSet()
    last = -1
    for pair in value:
        match pair:
            case [int(start), int(end)] if last < start < end <= total:
                held._starts.append(start)
                held._ends.append(end)
                held.count += end - start
                last = end
            case _:
                return None
    return held
