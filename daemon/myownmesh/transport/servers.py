"""STUN and TURN addresses (RFC 7064, RFC 7065) out of the configuration's `IceServer` entries (spec 04 §10.10)."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from myownmesh.transport.session import IceServer

MAX_SERVERS = 8
"""Of STUN and of TURN; every one is asked on every address."""

_URL = re.compile(
    r"(?P<scheme>stun|turns?):(?P<host>\[[0-9a-fA-F:.]+\]|[^\[\]?:/]+)(?::(?P<port>\d{1,5}))?"
    r"(?:\?transport=(?P<transport>udp|tcp))?",
    re.IGNORECASE,
)


@frozen
class StunServer:
    host: str
    port: int


@frozen
class TurnServer:
    host: str
    port: int
    transport: str
    tls: bool
    username: str | None
    credential: str | None


def split_servers(servers: tuple[IceServer, ...]) -> tuple[tuple[StunServer, ...], tuple[TurnServer, ...]]:
    """All usable servers; entries that cannot be read are left out."""
    stun: list[StunServer] = []
    turn: list[TurnServer] = []
    for server in servers:
        for url in server.urls:
            match = _URL.fullmatch(url.strip())
            if match is None:
                continue
            scheme = match["scheme"].lower()
            host = match["host"].strip("[]")
            port = int(match["port"] or (5349 if scheme == "turns" else 3478))
            if not 0 < port < 65_536:
                continue
            if scheme == "stun":
                stun.append(StunServer(host, port))
                continue
            tls = scheme == "turns"
            transport = (match["transport"] or ("tcp" if tls else "udp")).lower()
            if not (tls and transport == "udp"):  # DTLS to a TURN server: nobody offers it
                turn.append(TurnServer(host, port, transport, tls, server.username, server.credential))
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
