"""All allocations of one server: who has which, and how many anybody may have (spec 06 §7, F)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from msgspec import Struct

from mesh_common.addresses import household_of, is_loopback
from myownmesh.turn.allocation import Allocation, Allowance
from myownmesh.turn.binding import address_of
from myownmesh.turn.grants import Grants

if TYPE_CHECKING:
    from collections.abc import Collection

    from myownmesh.turn.binding import Client, Counts
    from myownmesh.turn.credentials import Account, User
    from myownmesh.turn.limits import Limits


T = TypeVar("T")

LOOKS: Final = 16
"""An allocation is looked through for what has lapsed at every sixteenth sweep or so, each at another."""


class Ports(Protocol):
    """The relay sockets, owned by whoever owns all others."""

    def open(self, client: Client, *, even: bool) -> int | None:
        """A new port whose datagrams are for this client; None when there is none to be had."""
        ...

    def close(self, port: int) -> None: ...


class Settings(Struct, frozen=True):
    """What a person configured."""

    public_ip: str
    """IPv4 literal that relayed ports are told with."""
    realm: str
    passwords: Mapping[str, str]
    secret: str | None = None
    """What time-limited passwords are made with (spec 06 M)."""
    labels: tuple[str, ...] | None = None
    """Whose time-limited passwords are good to begin with; None: anybody's."""
    bytes_per_s: int = 0
    """Per allocation and direction; 0: no limit."""
    private_peers: bool = False


class Table:
    """The allocations by client and by port, with the sockets that belong to them."""

    def __init__(self, settings: Settings, limits: Limits, ports: Ports, counts: Counts) -> None:
        self._bytes_per_s = settings.bytes_per_s
        self._limits = limits
        self._ports = ports
        self._counts = counts
        self.by_client: dict[Client, Allocation] = {}
        self.by_port: dict[int, Allocation] = {}
        self._by_account: Counter[Account] = Counter()
        self._by_household: Counter[object] = Counter()
        self.grants = Grants(limits)

    def of(self, client: Client, now: float) -> Allocation | None:
        """The allocation of a client while it lasts."""
        allocation = self.by_client.get(client)
        if allocation is not None and allocation.until <= now:
            self.end(allocation)
            return None
        return allocation

    def is_live(self, port: int, now: float) -> bool:
        """Whether a port of ours is relayed at the moment."""
        allocation = self.by_port.get(port)
        return allocation is not None and allocation.until > now

    def is_over_quota(self, client: Client, user: User) -> bool:
        """Whether one more would be too much for its user, its address or all together."""
        limits, ip = self._limits, address_of(client)[0]
        if len(self.by_client) >= limits.allocations or self._by_account[user.account] >= limits.per_user:
            return True
        # A proxy on this machine brings clients from everywhere.
        return self._by_household[household_of(ip)] >= limits.per_address and not is_loopback(ip)

    def add(
        self, client: Client, user: User, transaction: bytes, *, even: bool, lifetime_s: int, now: float
    ) -> Allocation | None:
        """A new allocation; None when there is no port for it."""
        port = self._ports.open(client, even=even)
        if port is None:
            return None
        allocation = Allocation(
            client=client,
            user=user,
            household=household_of(address_of(client)[0]),
            port=port,
            until=now + lifetime_s,
            transaction=transaction,
            up=Allowance(self._bytes_per_s, now) if self._bytes_per_s else None,
            down=Allowance(self._bytes_per_s, now) if self._bytes_per_s else None,
        )
        self.by_client[client] = self.by_port[port] = allocation
        self._by_account[user.account] += 1
        self._by_household[allocation.household] += 1
        self._counts.allocations_total += 1
        return allocation

    def end(self, allocation: Allocation) -> None:
        """Close its port and forget it."""
        del self.by_client[allocation.client], self.by_port[allocation.port]
        _count_down(self._by_account, allocation.user.account)
        _count_down(self._by_household, allocation.household)
        self.grants.settle(allocation, 0)
        self._ports.close(allocation.port)

    def end_all_of(self, accounts: Collection[Account]) -> None:
        """End whatever these users have."""
        for allocation in [each for each in self.by_client.values() if each.user.account in accounts]:
            self.end(allocation)

    def sweep(self, now: float) -> None:
        """End those whose time is over, and forget what has lapsed of some others."""
        for allocation in [each for each in self.by_client.values() if each.until <= now]:
            self.end(allocation)
        for allocation in self.by_client.values():
            if allocation.counted and (allocation.port + int(now)) % LOOKS == 0:
                allocation.drop_lapsed(now)
                self.grants.settle(allocation, allocation.held)


def _count_down(counts: Counter[T], key: T) -> None:
    counts[key] -= 1
    if not counts[key]:
        del counts[key]
