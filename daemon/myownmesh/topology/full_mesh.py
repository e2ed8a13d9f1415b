"""Full mesh: everybody holds a link to everybody (spec 04 §8.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Container, Iterable

    from myownmesh.topology.members import Members

FLOOD_TTL: Final = 4
"""Never used: nobody floods here."""


class _Everybody:
    """Contains whatever it is asked for, so that nothing grows with the room."""

    def __contains__(self, member: object) -> bool:
        return True


_EVERYBODY: Final = _Everybody()


class FullMeshShape:
    prunes = False
    flood_ttl = FLOOD_TTL
    changes_with_members = False

    def preferred(self, _me: str, _members: Collection[str]) -> Container[str]:
        return _EVERYBODY

    def edge(self, _me: str, _peer: str, _members: Members) -> bool:
        return True

    def wanted(self, me: str, members: Members) -> set[str]:
        return {member for member in members if member != me}

    def forwards(self, _member: str) -> bool:
        return False

    def next_hops(self, _me: str, _dest: str, _connected: Iterable[str]) -> list[str]:
        return []
