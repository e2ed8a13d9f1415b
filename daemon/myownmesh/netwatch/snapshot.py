"""What of this machine's addresses matters to its links, and what a change of it means (spec 04 §7.7). Pure."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from msgspec import Struct

from myownmesh.engine.moves import Move
from myownmesh.transport.addresses import is_gathered

if TYPE_CHECKING:
    from collections.abc import Iterable

    from myownmesh.transport.addresses import LocalAddress


class Snapshot(Struct, frozen=True):
    """IPv6 addresses stand here as their /64: privacy addresses come and go in it every day, and mean nothing."""

    v4: str | None
    """Where packets to the internet come from."""
    v6: str | None
    addresses: frozenset[str]
    """What somebody else could reach, of interfaces that work."""

    @property
    def is_offline(self) -> bool:
        return self.v4 is None and self.v6 is None and not self.addresses

    def told(self) -> dict[str, object]:
        """For diagnostics."""
        return {"v4": self.v4, "v6": self.v6, "addresses": len(self.addresses)}


def snapshot(found: Iterable[LocalAddress], ways_out: Iterable[str]) -> Snapshot:
    """`ways_out` are the addresses that packets to the internet come from. Those of a dead interface are none.

    Interfaces of containers and link-local addresses count where there is nothing else, as they do among candidates.
    """
    usable = [local for local in found if local.is_running and not ipaddress.ip_address(local.address).is_loopback]
    alive = {local.address for local in usable}
    preferred = [local for local in usable if is_gathered(local)]
    ways = {ipaddress.ip_address(way).version: _named(way) for way in ways_out if way in alive}
    return Snapshot(ways.get(4), ways.get(6), frozenset(_named(local.address) for local in preferred or usable))


def judge(before: Snapshot, after: Snapshot) -> Move | None:
    """What the links of this machine should know; None when the difference is none of their business."""
    if after.is_offline:
        return None if before.is_offline else Move.OFFLINE
    if before.is_offline:
        return Move.ONLINE
    if (before.v4, before.v6) != (after.v4, after.v6):
        return Move.MOVED
    if before.addresses == after.addresses:
        return None
    has_way_out = after.v4 is not None or after.v6 is not None
    return Move.SHIFTED if has_way_out else Move.MOVED


def _named(address: str) -> str:
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv4Address):
        return address
    return str(ipaddress.ip_network((int(ip), 64), strict=False))
