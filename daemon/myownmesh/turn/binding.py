"""Who asks, and the one question that needs no password (spec 06 §6)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from myownmesh.turn import stun
from myownmesh.turn.limits import Limits
from myownmesh.turn.rationing import Ration

if TYPE_CHECKING:
    from myownmesh.protocol.clock import Instant
    from myownmesh.turn.stun import Address, Message

Client = tuple[object, ...]
"""Five-tuple of a client: its address as a socket tells it; behind that of a stream stand the kind of stream and a
number."""

Parcel = tuple[int, bytes, Client | None]
"""The relay port from which bytes leave, or 0: where clients come in; and to whom: a client, a peer's address, or None:
the client whose port it is. A plain tuple, for each relayed datagram makes one."""

_V4_MAPPED = "::ffff:"


class Counts(Struct):
    """What has happened, for whoever looks after the server."""

    allocations_total: int = 0
    packets_up: int = 0
    """From clients to peers."""
    packets_down: int = 0
    bytes_up: int = 0
    bytes_down: int = 0
    policed: int = 0
    """Datagrams over the bandwidth limit."""
    forbidden: int = 0
    """Requests for targets that nothing is relayed to."""
    over_quota: int = 0
    unauthorised: int = 0
    unanswered: int = 0
    """Strangers who got no answer, because their prefix or all together had too many."""


class BindingServer:
    """STUN alone."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.counts = Counts()
        self._ration = Ration(limits or Limits())

    def from_client(self, data: bytes, client: Client, now: Instant) -> Parcel | None:
        """The answer to a Binding request; everything else is met with silence."""
        message = stun.decode(data)
        if message is None or message.kind != stun.BINDING:
            return None
        if not self._ration.allows(address_of(client)[0], now.mono):
            self.counts.unanswered += 1
            return None
        return 0, binding_answer(message, client, fingerprint=False), client


def address_of(client: Client) -> Address:
    """A client's own address; an IPv4 one that came to an IPv6 socket by its proper name."""
    ip, port = client[0], client[1]
    assert isinstance(ip, str)
    assert isinstance(port, int)
    return ip.removeprefix(_V4_MAPPED) if "." in ip else ip, port


def is_stream(client: Client) -> bool:
    """Whether it has a connection, and so cannot have forged its address."""
    return len(client) == 4 and isinstance(client[2], str)


def binding_answer(message: Message, client: Client, *, fingerprint: bool) -> bytes:
    mapped = stun.xor_address(*address_of(client), message.transaction)
    return stun.encode(
        stun.BINDING | stun.SUCCESS, message.transaction, [(stun.A_MAPPED, mapped)], fingerprint=fingerprint
    )
