"""Local candidates: of a socket of ours, as a STUN server sees it, and at a TURN server (RFC 8445 §5.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aioice
from aioice.candidate import candidate_foundation, candidate_priority
from aioice.ice import relayed_candidate
from aioice.stun import Class, Message, Method

if TYPE_CHECKING:
    from collections.abc import Callable

    from aioice.ice import StunProtocol

    from myownmesh.transport.resolving import Resolver
    from myownmesh.transport.servers import StunServer, TurnServer
    from myownmesh.transport.udp import Address

FOUNDATION_CHARS = 8
"""Enough to tell the few candidates of one description apart; the library writes 32."""


def host_candidate(address: Address, rank: int) -> aioice.Candidate:
    """The candidate of a socket; `rank` counts from 0, the address that is worth most.

    One preference per address: equal priorities would leave the order of checks to chance.
    """
    host, port = address
    return _candidate("host", host, port, priority=candidate_priority(1, "host", 65_535 - rank))


async def reflexive_candidate(
    protocol: StunProtocol, server: StunServer, resolver: Resolver
) -> aioice.Candidate | None:
    """Ask a STUN server where packets of the socket seem to come from; None if it is of the other address family."""
    address = await resolver.address(server.host)
    base = protocol.local_candidate
    if address is None or (":" in address) != (":" in base.host):
        return None
    request = Message(message_method=Method.BINDING, message_class=Class.REQUEST)
    response, _ = await protocol.request(request, (address, server.port))
    host, port = response.attributes["XOR-MAPPED-ADDRESS"]
    return _candidate("srflx", host, port, priority=candidate_priority(1, "srflx"), base=base)


async def relayed_at(
    server: TurnServer, resolver: Resolver, protocol_factory: Callable[[], StunProtocol]
) -> tuple[aioice.Candidate, StunProtocol] | None:
    """Have an address at a TURN server; None if the server has none itself."""
    address = await resolver.address(server.host)
    if address is None:
        return None
    candidate, protocol = await relayed_candidate(
        component=1,
        hide_related_address=False,
        protocol_factory=protocol_factory,
        turn_server=(server.host if server.tls else address, server.port),  # TLS checks the name
        turn_username=server.username,
        turn_password=server.credential,
        turn_ssl=server.tls,
        turn_transport=server.transport,
    )
    candidate.foundation = candidate.foundation[:FOUNDATION_CHARS]
    return candidate, protocol


def _candidate(
    kind: str, host: str, port: int, *, priority: int, base: aioice.Candidate | None = None
) -> aioice.Candidate:
    return aioice.Candidate(
        foundation=candidate_foundation(kind, "udp", host if base is None else base.host)[:FOUNDATION_CHARS],
        component=1,
        transport="udp",
        priority=priority,
        host=host,
        port=port,
        type=kind,
        related_address=None if base is None else base.host,
        related_port=None if base is None else base.port,
    )
