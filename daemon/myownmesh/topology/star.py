"""Star: one hub that everybody holds a link to (spec 04 §8.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from myownmesh.protocol.ids import pubkey_part

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from myownmesh.topology.members import Members

FLOOD_TTL: Final = 3


class StarShape:
    """The hub may be away, or not exist: then nobody holds a link to anybody."""

    prunes = True
    flood_ttl = FLOOD_TTL
    changes_with_members = False

    def __init__(self, hub: str) -> None:
        self._hub = pubkey_part(hub)

    def preferred(self, me: str, members: Collection[str]) -> set[str]:
        return set(members) if self.forwards(me) else {member for member in members if self.forwards(member)}

    def edge(self, me: str, peer: str, _members: Members) -> bool:
        return self.forwards(me) or self.forwards(peer)

    def wanted(self, me: str, members: Members) -> set[str]:
        return self.preferred(me, members) - {me}

    def forwards(self, member: str) -> bool:
        return pubkey_part(member) == self._hub

    def next_hops(self, me: str, _dest: str, connected: Iterable[str]) -> list[str]:
        """A spoke has the hub; the hub has nobody, for it is linked with everybody."""
        return [] if self.forwards(me) else [peer for peer in connected if self.forwards(peer)]
