"""Which connectivity checks are worth making first, and which remote candidates worth keeping.

A pair of candidates has a priority that both sides agree on (RFC 8445 §6.1.2.3), but it knows nothing of routes: with
twelve bridges on both sides 168 of 169 pairs lead nowhere, and at one check per 20 ms they cost seconds. The routing
table of this machine knows from which address a packet to the peer's would go; the other pairs come last.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from myownmesh.transport.addresses import LocalAddress

MAX_PAIRS = 100
"""Pairs that are checked or wait for it, the limit that RFC 8445 §6.1.2.5 recommends."""
MAX_REMOTE_CANDIDATES = {"host": 32, "srflx": 16, "relay": 16}
"""Per kind, so that many of one do not keep out the only one of another that works."""
MAX_PEER_REFLEXIVE = 32
"""Addresses that nobody announced; whoever checks from them has shown the password."""
_MAX_REMEMBERED = 4_096
"""Pairs of addresses; more than the candidates of one peer can make. Beyond them all are worked out again."""


class Reach(IntEnum):
    """How a packet of ours gets from a local candidate to a remote one; the higher, the earlier the check."""

    ELSEWHERE = 0
    """The routing table sends it from another address or nowhere: it works only where a rule of the machine says so."""
    RELAYED = 1
    ROUTED = 2
    """The routing table sends it from here."""
    BESIDE = 3
    """Both are in one network."""


class Reaches:
    """How the addresses of this machine reach those of one peer."""

    def __init__(self, source_address: Callable[[str], str | None]) -> None:
        """`source_address` tells from which address of ours a packet to another would go (`interfaces`)."""
        self._source_address = source_address
        self._bases: dict[str, LocalAddress] = {}
        self._known: dict[tuple[str, str], Reach] = {}

    def add_base(self, base: LocalAddress) -> None:
        """An address of this machine that checks are sent from."""
        self._bases[base.address] = base

    def between(self, local: str, remote: str) -> Reach:
        """From a local address to a remote one; a local address that is no base is that of a relay."""
        if local not in self._bases:
            return Reach.RELAYED
        if (local, remote) not in self._known:
            if len(self._known) + len(self._bases) > _MAX_REMEMBERED:
                self._known.clear()
            source = self._source_address(remote)
            for base in self._bases.values():
                self._known[base.address, remote] = _reach(base, remote, source)
        return self._known[local, remote]

    def best(self, remote: str) -> Reach:
        """From whichever base is best."""
        return max((self.between(base, remote) for base in self._bases), default=Reach.ELSEWHERE)


def _reach(base: LocalAddress, remote: str, source: str | None) -> Reach:
    if base.is_beside(remote):
        return Reach.BESIDE
    return Reach.ROUTED if base.address == source else Reach.ELSEWHERE
