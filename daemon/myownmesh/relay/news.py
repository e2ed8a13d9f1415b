"""What a hub has to tell other relays: nothing, unless it is one of several (see `myownmesh.cluster`). Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from myownmesh.relay.presence import Pair
    from myownmesh.relay.store import Stored


class News:
    """Nobody listens; whoever does takes what it wants of these. None of them may call the hub."""

    def accepted(self, stored: Stored, *, is_present: bool) -> None:
        """A client said this, and was not the second to say it; `is_present`: it is now connected here with it."""

    def departed(self, pairs: Sequence[Pair], *, is_told: bool) -> None:
        """No connection of this relay holds these any more; `is_told`: by their own leave, which has gone round."""

    def connected(self, address: str, count: int) -> None:
        """So many connections of an address are here now."""


class Both(News):
    """Two that listen."""

    def __init__(self, one: News, other: News) -> None:
        self._each = (one, other)

    def accepted(self, stored: Stored, *, is_present: bool) -> None:
        for each in self._each:
            each.accepted(stored, is_present=is_present)

    def departed(self, pairs: Sequence[Pair], *, is_told: bool) -> None:
        for each in self._each:
            each.departed(pairs, is_told=is_told)

    def connected(self, address: str, count: int) -> None:
        for each in self._each:
            each.connected(address, count)
