"""A STUN and TURN server without sockets: datagrams in, datagrams out (spec 06 §7, D–G).

Whoever owns the sockets hands in each datagram with its moment and gets what is to be sent, or None. A relayed datagram
costs a few microseconds here; everything that needs a signature is in `requests`.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from myownmesh.turn import stun
from myownmesh.turn.binding import Counts
from myownmesh.turn.framing import CHANNEL_DATA, CHANNEL_HEADER_BYTES
from myownmesh.turn.limits import MAX_PAYLOAD, Limits
from myownmesh.turn.requests import Requests
from myownmesh.turn.table import Table
from myownmesh.turn.targets import Targets

if TYPE_CHECKING:
    from collections.abc import Collection

    from myownmesh.protocol.clock import Instant
    from myownmesh.turn.allocation import Allocation
    from myownmesh.turn.binding import Client, Parcel
    from myownmesh.turn.stun import Address, Message
    from myownmesh.turn.table import Ports, Settings

_SEND_KNOWN = frozenset({stun.A_PEER, stun.A_DATA})
_HEAD = struct.Struct(">HH")
_channel_head_of, _channel_head = _HEAD.unpack_from, _HEAD.pack
_PADDING = tuple(bytes(count) for count in range(4))


class TurnServer:
    """One TURN server; `sweep` is due about once a second while there are allocations."""

    def __init__(self, settings: Settings, ports: Ports, nonce_secret: bytes, limits: Limits | None = None) -> None:
        limits = limits or Limits()
        self.counts = Counts()
        self._public_ip = settings.public_ip
        self._targets = Targets(settings.public_ip, private_allowed=settings.private_peers)
        self._table = Table(settings, limits, ports, self.counts)
        self._requests = Requests(settings, limits, self._table, self._targets, nonce_secret, self.counts)
        self._by_client, self._by_port = self._table.by_client, self._table.by_port
        self._own: Collection[str] = frozenset()
        self._serial = 0

    @property
    def allocations(self) -> int:
        return len(self._by_client)

    def from_client(self, data: bytes, client: Client, now: Instant) -> Parcel | None:
        """What follows from one datagram or frame of a client. It may open or close a port."""
        if data >= CHANNEL_DATA:
            return self.channel_data(data, client, now.mono)
        message = stun.decode(data)
        if message is None:
            return None
        if message.kind == stun.SEND | stun.INDICATION:
            return self._send(client, message, now.mono)
        answer = self._requests.answer(client, message, now)
        return None if answer is None else (0, answer, client)

    def channel_data(self, data: bytes, client: Client, mono: float) -> Parcel | None:
        """The same for ChannelData: nearly all that ever comes, so here is what costs the fewest calls."""
        allocation = self._by_client.get(client)
        if allocation is None or allocation.until <= mono or len(data) < CHANNEL_HEADER_BYTES:
            return None
        number, size = _channel_head_of(data)
        channel = allocation.channels.get(number)
        if channel is None or channel.until <= mono or size > len(data) - CHANNEL_HEADER_BYTES:
            return None
        data, address = data[CHANNEL_HEADER_BYTES : CHANNEL_HEADER_BYTES + size], channel.address
        ip = address[0]
        if allocation.up is not None or size > MAX_PAYLOAD or ip == self._public_ip or ip in self._own:
            return self._relay(allocation, data, address, mono)
        counts = self.counts
        counts.packets_up += 1
        counts.bytes_up += size
        return allocation.port, data, address

    def from_peer(self, port: int, data: bytes, address: Address, mono: float) -> bytes | None:
        """What the client of this relay port gets of a datagram that came in there."""
        # Our own address sends through `_relay` alone, so such a datagram is of some other program of this machine.
        ip = address[0]
        allocation = self._by_port.get(port)
        if allocation is None or ip == self._public_ip or ip in self._own:
            return None
        return self._to_client(allocation, data, address, mono)

    def sweep(self, now: Instant) -> None:
        """End the allocations whose time is over."""
        self._table.sweep(now.mono)

    def client_gone(self, client: Client) -> None:
        """The stream of a client has ended, and its allocation with it: nobody could reach or renew it."""
        allocation = self._by_client.get(client)
        if allocation is not None:
            self._table.end(allocation)

    def admit(self, labels: Collection[str]) -> None:
        """The time-limited passwords of these are good from now on."""
        self._requests.credentials.admit(labels)

    def expel(self, labels: Collection[str]) -> None:
        """Those of these are not any more, and what was made with them ends."""
        self._requests.credentials.expel(labels)
        self._table.end_all_of({(label, True) for label in labels})

    def has_allocation(self, client: Client) -> bool:
        return client in self._by_client

    def set_own_addresses(self, addresses: Collection[str]) -> None:
        """The addresses of this machine, as IP literals: nothing is relayed to them from now on."""
        self._targets.set_own(addresses)
        self._own = self._targets.own

    def _send(self, client: Client, message: Message, now: float) -> Parcel | None:
        allocation = self._by_client.get(client)
        peer, data = message.get(stun.A_PEER), message.get(stun.A_DATA)
        if allocation is None or allocation.until <= now or peer is None or data is None:
            return None
        address = stun.read_address(peer, message.transaction)
        if address is None or message.unknown(_SEND_KNOWN) or not allocation.permits(address[0], now):
            return None
        return self._relay(allocation, data, address, now)

    def _relay(self, allocation: Allocation, data: bytes, address: Address, now: float) -> Parcel | None:
        """`address` was judged when its permission was given; what changes since is whose address it is."""
        counts, size = self.counts, len(data)
        if size > MAX_PAYLOAD or address[0] in self._own:
            return None
        if allocation.up is not None and not allocation.up.allows(size, now):
            counts.policed += 1
            return None
        counts.packets_up += 1
        counts.bytes_up += size
        if address[0] != self._public_ip:
            return allocation.port, data, address
        # From one allocation of ours to another: no socket of this machine need let it out and in again.
        other = self._by_port.get(address[1])
        if other is None:
            return None
        inward = self._to_client(other, data, (self._public_ip, allocation.port), now)
        return None if inward is None else (other.port, inward, None)

    def _to_client(self, allocation: Allocation, data: bytes, address: Address, now: float) -> bytes | None:
        if allocation.until <= now:
            return None
        channel = allocation.bound.get(address)
        if (channel is None or channel.until <= now) and not allocation.permits(address[0], now):
            return None
        counts, size = self.counts, len(data)
        if allocation.down is not None and not allocation.down.allows(size, now):
            counts.policed += 1
            return None
        counts.packets_down += 1
        counts.bytes_down += size
        if channel is not None and channel.until > now:
            return _channel_head(channel.number, size) + data + _PADDING[-size & 3]
        self._serial += 1
        transaction = self._serial.to_bytes(12)
        attributes = [(stun.A_PEER, stun.xor_address(*address, transaction)), (stun.A_DATA, data)]
        return stun.encode(stun.DATA | stun.INDICATION, transaction, attributes)
