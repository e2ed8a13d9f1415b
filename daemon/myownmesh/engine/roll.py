"""What follows from all entries of a network together, kept as they come and go instead of counted each time asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from myownmesh.engine.peer import Live

if TYPE_CHECKING:
    from collections.abc import Collection

    from mesh_common.views import PeerStatus
    from myownmesh.engine.peer import Peer


class Attendance(Struct, eq=False):
    """What the last look at the members found."""

    missed: str = ""
    """Somebody who was missing."""
    changes: int = -1
    """`Core.changes` when nobody was."""
    until: float = 0.0
    """The monotonic second until which that holds without another change."""


class Roll:
    """How many entries have which status, and which are admitted. Every change of an entry is told to `replaced`."""

    __slots__ = (
        "_admitted",
        "_counts",
        "_live",
        "_next_place",
        "_places",
    )

    def __init__(self) -> None:
        self._counts: dict[PeerStatus, int] = {}
        self._places: dict[str, int] = {}
        """By id: entries in the order in which their transport was made, or they were noted."""
        self._next_place = 0
        self._admitted: dict[str, Live] = {}
        self._live: list[Live] | None = None
        """Those in their order; None since that changed."""

    def replaced(self, before: Peer | None, after: Peer | None) -> None:
        """One entry stands in the place of another; None where there was, or is, none."""
        counts = self._counts
        if after is not None:
            counts[after.status] = counts.get(after.status, 0) + 1
            if before is None:
                self.becomes_last(after.device_id)
            if isinstance(after, Live):
                self._admitted[after.device_id] = after
                self._live = None
        if before is not None:
            if counts[before.status] > 1:
                counts[before.status] -= 1
            else:
                del counts[before.status]
            if after is None:
                del self._places[before.device_id]
            if isinstance(before, Live) and not isinstance(after, Live):
                del self._admitted[before.device_id]
                self._live = None

    def becomes_last(self, device_id: str) -> None:
        """The entry of this id stands behind all others now."""
        self._places[device_id] = self._next_place
        self._next_place += 1

    def statuses(self) -> Collection[PeerStatus]:
        """Every status that some entry has."""
        return self._counts.keys()

    def count(self, status: PeerStatus) -> int:
        """How many entries have it."""
        return self._counts.get(status, 0)

    def live(self) -> list[Live]:
        """The admitted ones, in the order of the entries. The list is not changed afterwards, and not to be."""
        if self._live is None:
            self._live = sorted(self._admitted.values(), key=self._place)
        return self._live

    def _place(self, peer: Live) -> int:
        return self._places[peer.device_id]
