"""Ring: everybody prefers its nearest members on a circle of ids (spec 04 §8.3)."""

from __future__ import annotations

from functools import cache, lru_cache
from typing import TYPE_CHECKING, Final

from myownmesh.topology.choices import BY_IDS
from myownmesh.topology.members import Members

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from myownmesh.topology.choices import Choices

FLOOD_TTL: Final = 32

SIZES_KEPT: Final = 64
"""Circles whose ways are remembered: while a network meets, everybody sees it grow."""


class RingShape:
    """A link is held where either end prefers the other, so some shortcuts are preferred by one end only."""

    prunes = True
    flood_ttl = FLOOD_TTL
    changes_with_members = True

    def __init__(self, n_preferred: int, choices: Choices = BY_IDS) -> None:
        self._n = n_preferred
        self._choices = choices

    def preferred(self, me: str, members: Collection[str]) -> set[str]:
        if len(members) <= self._n:
            return set(members)
        circle = Members([*members, me])
        place = circle.place(me)
        return {circle[place + step] for step in _steps(self._n, len(circle))} - {me}

    def edge(self, me: str, peer: str, members: Members) -> bool:
        ids = members.ids
        size = len(ids) + (me not in ids) + (peer not in ids)
        if size - 1 <= self._n:
            return True
        before, after = (me, peer) if me < peer else (peer, me)
        return (members.way(before, after) + (before not in ids)) % size in _ways(self._n, size)

    def wanted(self, me: str, members: Members) -> set[str]:
        circle = members if me in members else Members([*members, me])
        size, place = len(circle), circle.place(me)
        if size - 1 <= self._n:
            return {member for member in circle if member != me}
        steps = _steps(self._n, size)
        return {circle[place + way * step] for step in steps for way in (1, -1)} - {me}

    def forwards(self, _member: str) -> bool:
        return True

    def next_hops(self, me: str, dest: str, connected: Iterable[str]) -> list[str]:
        """The connected peer whose id is most like the destination's; the first of equals."""
        peers = [peer for peer in connected if peer != me]
        return [self._choices.nearest(dest, peers)] if peers else []


@cache
def _all_steps(n: int) -> tuple[int, ...]:
    steps = [1, -1]
    reach = 2
    while len(steps) < n:
        steps += [reach, -reach]
        reach += 1
    return tuple(steps[: max(n, 2)])


@lru_cache(SIZES_KEPT)
def _ways(n: int, size: int) -> frozenset[int]:
    """How far apart, clockwise, two members of a circle stand of whom either chooses the other."""
    steps = _steps(n, size)
    return frozenset(way % size for step in steps for way in (step, -step))


def _steps(n: int, size: int) -> tuple[int, ...]:
    """How far from itself a member looks on a circle of `size`, nearest first; clockwise first, and both neighbours
    whatever `n` is. More than once round the circle nobody looks."""
    return _all_steps(min(n, size))
