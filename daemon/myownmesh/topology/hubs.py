"""Hubs: a few members hold links to each other and to everybody else's; every spoke has some of them (spec 04 §8.4)."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

from myownmesh.protocol.ids import pubkey_part
from myownmesh.topology.choices import BY_IDS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from myownmesh.topology.choices import Choices
    from myownmesh.topology.members import Members

FLOOD_TTL: Final = 4

MAX_HUBS: Final = 1024
"""Every spoke ranks them all; a signed topology has no room for more."""

RANKINGS_KEPT: Final = 16_384
"""Spokes whose hubs are remembered, about 0.5 KB each: ranking costs a hash per hub."""


class HubsShape:
    """Which hubs a spoke has depends on its id and theirs alone: when one leaves, only its own spokes move."""

    prunes = True
    flood_ttl = FLOOD_TTL
    changes_with_members = False

    def __init__(self, hubs: tuple[str, ...], redundancy: int, choices: Choices = BY_IDS) -> None:
        self._hubs = tuple(pubkey_part(hub) for hub in hubs)
        self._hub_set = frozenset(self._hubs)
        self._redundancy = max(1, redundancy)
        self._choices = choices
        self._homes = lru_cache(RANKINGS_KEPT)(self._find_homes)
        self._serves = lru_cache(RANKINGS_KEPT)(self._is_home)

    def preferred(self, me: str, members: Collection[str]) -> set[str]:
        mine = pubkey_part(me)
        if mine not in self._hub_set:
            homes = self._hub_set & self._homes(mine)
            return {member for member in members if pubkey_part(member) in homes}
        return {
            member for member in members if (other := pubkey_part(member)) in self._hub_set or self._serves(mine, other)
        }

    def edge(self, me: str, peer: str, _members: Members) -> bool:
        return self._edge(me, peer)

    def wanted(self, me: str, members: Members) -> set[str]:
        return self.preferred(me, members) - {me}

    def forwards(self, member: str) -> bool:
        return pubkey_part(member) in self._hub_set

    def next_hops(self, me: str, dest: str, connected: Iterable[str]) -> list[str]:
        """The connected hubs of the destination, or any other connected hub."""
        hubs = [peer for peer in connected if self.forwards(peer) and peer != me]
        goal = pubkey_part(dest)
        targets = {goal} if goal in self._hub_set else self._homes(goal)
        return [hub for hub in hubs if pubkey_part(hub) in targets] or hubs

    def _edge(self, one: str, other: str) -> bool:
        one, other = pubkey_part(one), pubkey_part(other)
        if one in self._hub_set:
            return other in self._hub_set or self._serves(one, other)
        return other in self._hub_set and other in self._homes(one)

    def _find_homes(self, spoke: str) -> frozenset[str]:
        return self._choices.homes(spoke, self._hubs, self._redundancy)

    def _is_home(self, hub: str, spoke: str) -> bool:
        return self._choices.serves(hub, spoke, self._hubs, self._redundancy)
