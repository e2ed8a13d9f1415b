"""What follows from all entries of a network together, kept as they come and go instead of counted each time asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from myownmesh.engine.peer import Live

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

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

    def __init__(self) -> None:
        self._counts: dict[PeerStatus, int] = {}
        self._live: list[Live] | None = None

    def replaced(self, before: Peer | None, after: Peer | None) -> None:
        """One entry stands in the place of another; None where there was, or is, none."""
        counts = self._counts
        if after is not None:
            counts[after.status] = counts.get(after.status, 0) + 1
        if before is not None:
            if counts[before.status] > 1:
                counts[before.status] -= 1
            else:
                del counts[before.status]
        if isinstance(before, Live) or isinstance(after, Live):
            self._live = None

    def statuses(self) -> Collection[PeerStatus]:
        """Every status that some entry has."""
        return self._counts.keys()

    def live(self, peers: Mapping[str, Peer]) -> list[Live]:
        """The admitted ones of `peers`, in their order. The list is not changed afterwards, and not to be."""
        if self._live is None:
            self._live = [peer for peer in peers.values() if isinstance(peer, Live)]
        return self._live
