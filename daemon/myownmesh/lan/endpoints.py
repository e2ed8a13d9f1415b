"""Where a device listens, and which of its addresses are dialled next (spec 03 §18.2, §18.4)."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MAX_ADDRESSES: Final = 16
"""Of one device; an advert may name as many as it likes."""
BACKOFF_S: Final = (1, 2, 5, 15, 30, 60)
"""After so many failures in a row an address is dialled again; the last one repeats."""
PARALLEL_DIALS: Final = 2
MAX_PENALTIES: Final = 4096

Networks = tuple[ipaddress.IPv4Network, ...]
"""The networks that this machine has an address in."""


class Endpoint(Struct, frozen=True):
    """The listener of a device."""

    addresses: tuple[str, ...]
    port: int

    def merged(self, newer: Endpoint) -> Endpoint:
        """As an advert that came later says: another port is another listener, the same one has all addresses."""
        if newer.port != self.port:
            return newer
        kept = [*newer.addresses, *(each for each in self.addresses if each not in newer.addresses)]
        return Endpoint(in_order(kept[:MAX_ADDRESSES]), self.port)


def in_order(addresses: Iterable[str]) -> tuple[str, ...]:
    """The addresses, each once, in an order of their own."""
    return tuple(sorted(set(addresses), key=lambda text: (":" in text, ipaddress.ip_address(text))))


def near(addresses: Iterable[str], networks: Networks) -> tuple[str, ...]:
    """Those that a device beside this one may have: in one of its networks, and a single machine's.

    Whatever an advert names, nobody else is dialled: not this machine's own services, not the internet.
    """
    return tuple(text for text in addresses if _is_near(ipaddress.ip_address(text), networks))


def _is_near(address: ipaddress.IPv4Address | ipaddress.IPv6Address, networks: Networks) -> bool:
    if address.is_loopback or address.is_multicast or address.is_unspecified:
        return False
    return any(address in network and not _names_all(address, network) for network in networks)


def _names_all(address: ipaddress.IPv4Address | ipaddress.IPv6Address, network: ipaddress.IPv4Network) -> bool:
    """Whether it is the network's own address, or its broadcast one; a /31 and a /32 have none."""
    return network.prefixlen < 31 and address in (network.network_address, network.broadcast_address)


class Penalties:
    """Addresses that were not reached lately. `now` is monotonic seconds."""

    def __init__(self) -> None:
        self._failed: OrderedDict[tuple[str, int], tuple[int, float]] = OrderedDict()
        """How often in a row, and when to try again."""

    def __len__(self) -> int:
        return len(self._failed)

    def failed(self, address: str, port: int, now: float) -> None:
        failures = self._failed.pop((address, port), (0, 0.0))[0] + 1
        self._failed[address, port] = failures, now + BACKOFF_S[min(failures, len(BACKOFF_S)) - 1]
        if len(self._failed) > MAX_PENALTIES:
            self._failed.popitem(last=False)

    def reached(self, address: str, port: int) -> None:
        self._failed.pop((address, port), None)

    def forget(self, endpoint: Endpoint) -> None:
        """Whoever listened there is gone."""
        for address in endpoint.addresses:
            self.reached(address, endpoint.port)

    def forget_all(self) -> None:
        """The network is another one."""
        self._failed.clear()

    def to_dial(self, addresses: Sequence[str], port: int, now: float) -> list[str]:
        """The addresses to dial now, best first, `PARALLEL_DIALS` at a time; where all rest, the one due first."""
        known = {address: self._failed.get((address, port), (0, 0.0)) for address in addresses}
        ranked = sorted(addresses, key=lambda address: (max(known[address][1], now), known[address][0]))
        due = [address for address in ranked if known[address][1] <= now]
        return due or ranked[:1]
