"""Ids in byte order, as the shapes need them: who stands beside whom is found in logarithmic time."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class Members:
    """A sorted set of ids. Ids of one room are ASCII, so comparing text compares bytes."""

    __slots__ = ("_order", "ids")

    def __init__(self, ids: Iterable[str] = ()) -> None:
        self.ids = set(ids)
        """For whoever asks for one of them all the time; not to be changed."""
        self._order = sorted(self.ids)

    def __len__(self) -> int:
        return len(self._order)

    def __iter__(self) -> Iterator[str]:
        return iter(self._order)

    def __contains__(self, member: object) -> bool:
        return member in self.ids

    def __getitem__(self, place: int) -> str:
        """Of the circle: any whole number names a place."""
        return self._order[place % len(self._order)]

    def add(self, member: str) -> bool:
        """Take an id in; False when it was there."""
        if member in self.ids:
            return False
        self.ids.add(member)
        self._order.insert(bisect_left(self._order, member), member)
        return True

    def discard(self, member: str) -> bool:
        """Leave an id out; False when it was not there."""
        if member not in self.ids:
            return False
        self.ids.remove(member)
        del self._order[bisect_left(self._order, member)]
        return True

    def way(self, before: str, after: str) -> int:
        """How many members stand from `before`, itself counted, up to `after`: two ids in their order."""
        order = self._order
        first = bisect_left(order, before)
        return bisect_left(order, after, first) - first

    def place(self, member: str) -> int:
        """Where the id stands, or would stand."""
        return bisect_left(self._order, member)
