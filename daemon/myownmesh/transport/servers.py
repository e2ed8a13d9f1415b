"""STUN and TURN addresses (RFC 7064, RFC 7065) out of the configuration's `IceServer` entries (spec 04 §10.10)."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from msgspec import Struct

from mesh_common.addresses import stun_address, turn_address, usable

if TYPE_CHECKING:
    from myownmesh.transport.session import IceServer

MAX_SERVERS = 8
"""Of STUN and of TURN; every one is asked on every address."""


class StunServer(Struct, frozen=True):
    host: str
    port: int


class TurnServer(Struct, frozen=True):
    host: str
    port: int
    transport: str
    tls: bool
    username: str | None
    credential: str | None


def split_servers(servers: tuple[IceServer, ...]) -> tuple[tuple[StunServer, ...], tuple[TurnServer, ...]]:
    """All usable servers; what is no address that this release can use is left out (spec 07 §4.3)."""
    stun: list[StunServer] = []
    turn: list[TurnServer] = []
    for server in servers:
        for url in usable(server.urls, stun_address):
            address = stun_address(url)
            stun.append(StunServer(address.host, address.port))
        for url in usable(server.urls, turn_address):
            address = turn_address(url)
            where = address.host, address.port, address.transport
            turn.append(TurnServer(*where, address.scheme == "turns", server.username, server.credential))
    return tuple(dict.fromkeys(stun))[:MAX_SERVERS], _one_of_each_kind_first(turn)[:MAX_SERVERS]


def _one_of_each_kind_first(servers: list[TurnServer]) -> tuple[TurnServer, ...]:
    """In the given order, but the first over TLS, say, before the second over UDP: one of them passes the firewall."""
    ranks: dict[TurnServer, int] = {}
    seen: Counter[tuple[str, bool]] = Counter()
    for server in dict.fromkeys(servers):
        kind = server.transport, server.tls
        ranks[server] = seen[kind]
        seen[kind] += 1
    if len(ranks) <= MAX_SERVERS:
        return tuple(ranks)
    return tuple(sorted(ranks, key=ranks.__getitem__))
