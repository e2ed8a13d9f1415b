"""One relayed port: whose it is, who may send to it, and under which numbers (spec 06 §7.2, §7.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

from myownmesh.protocol.tokens import TokenBucket
from myownmesh.turn.limits import CHANNEL_S, MIN_BURST_BYTES, PERMISSION_S

if TYPE_CHECKING:
    from myownmesh.turn.credentials import User
    from myownmesh.turn.stun import Address


@define(eq=False)
class Channel:
    number: int
    address: Address
    until: float


class Allowance:
    """Bytes that one direction may take; what is too much is dropped and never delayed, so nobody waits for another."""

    __slots__ = ("_bucket", "_capacity")

    def __init__(self, bytes_per_s: int, now: float) -> None:
        self._capacity = max(bytes_per_s, MIN_BURST_BYTES)
        self._bucket = TokenBucket(bytes_per_s, self._capacity, now)

    def allows(self, size: int, now: float) -> bool:
        return self._bucket.take(now, min(size, self._capacity))


@define(eq=False)
class Allocation:
    client: tuple[object, ...]
    user: User
    household: object
    """What its client's address counts as."""
    port: int
    until: float
    transaction: bytes
    """Of the request that made it: sent again, it is answered again."""
    up: Allowance | None
    """None: as much as it likes."""
    down: Allowance | None
    answer: bytes = b""
    counted: int = 0
    """Of what it holds, in the server's sum (`grants`)."""
    _permissions: dict[str, float] = field(factory=dict)
    channels: dict[int, Channel] = field(factory=dict)
    """By number."""
    bound: dict[Address, Channel] = field(factory=dict)
    """The same by address."""

    @property
    def held(self) -> int:
        """Permissions and channels, those that have lapsed and were not dropped yet as well."""
        return len(self._permissions) + len(self.channels)

    def missing(self, ips: set[str]) -> int:
        """How many of these have no permission here."""
        return len(ips - self._permissions.keys())

    def drop_lapsed(self, now: float) -> None:
        """Forget the permissions and channels whose time is over."""
        self._permissions = {ip: until for ip, until in self._permissions.items() if until > now}
        self._drop_ended_channels(now)

    def permit(self, ip: str, now: float) -> None:
        self._permissions[ip] = now + PERMISSION_S

    def permits(self, ip: str, now: float) -> bool:
        return self._permissions.get(ip, 0.0) > now

    def has_room_for(self, ips: set[str], most: int, now: float) -> bool:
        """Whether permissions for these would be `most` together or fewer; those that are over make room."""
        new = ips - self._permissions.keys()
        if len(self._permissions) + len(new) > most:
            self._permissions = {ip: until for ip, until in self._permissions.items() if until > now}
            new = ips - self._permissions.keys()
        return len(self._permissions) + len(new) <= most

    def channel(self, number: int, now: float) -> Channel | None:
        """The channel of this number while it lasts."""
        channel = self.channels.get(number)
        return channel if channel is not None and channel.until > now else None

    def channel_to(self, address: Address, now: float) -> Channel | None:
        channel = self.bound.get(address)
        return channel if channel is not None and channel.until > now else None

    def can_bind(self, number: int, address: Address, now: float) -> bool:
        """Whether number and address are free, or belong together already."""
        by_number, by_address = self.channel(number, now), self.channel_to(address, now)
        return by_number is by_address and (by_number is None or by_number.address == address)

    def bind(self, number: int, address: Address, most: int, now: float) -> bool:
        """Bind what `can_bind` allows; False when `most` channels are bound."""
        if self.channel(number, now) is None:
            if len(self.channels) >= most or number in self.channels or address in self.bound:
                self._drop_ended_channels(now)
            if len(self.channels) >= most:
                return False
        channel = self.channels[number] = self.bound[address] = Channel(number, address, now + CHANNEL_S)
        assert len(self.channels) == len(self.bound), channel
        self.permit(address[0], now)
        return True

    def _drop_ended_channels(self, now: float) -> None:
        self.channels = {number: each for number, each in self.channels.items() if each.until > now}
        self.bound = {each.address: each for each in self.channels.values()}
