"""Where relayed datagrams may go (spec 06 D)."""

from __future__ import annotations

import enum
import ipaddress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


class Verdict(enum.Enum):
    ALLOWED = enum.auto()
    OURS = enum.auto()
    """The address that we relay at: only the ports of live allocations."""
    FORBIDDEN = enum.auto()
    OTHER_FAMILY = enum.auto()
    """We relay IPv4 only."""


INNER: Final = tuple(
    ipaddress.ip_network(each)
    for each in (
        "0.0.0.0/8",  # this machine, on many systems
        "127.0.0.0/8",
        "169.254.0.0/16",  # link-local, with the metadata services of most clouds
        "192.0.0.0/24",  # protocol assignments, with Oracle's metadata
        "100.100.100.200/32",  # Alibaba's metadata
        "168.63.129.16/32",  # Azure's
        "224.0.0.0/4",
        "240.0.0.0/4",  # reserved, and broadcast
        "::/128",
        "::1/128",
        "fe80::/10",
        "fec0::/10",
        "ff00::/8",
        "fd00:ec2::254/128",  # Amazon's metadata
    )
)
PRIVATE: Final = tuple(
    ipaddress.ip_network(each)
    for each in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")
)
_EMBEDDING: Final = (
    (ipaddress.IPv6Network("::ffff:0:0/96"), 0),
    (ipaddress.IPv6Network("::ffff:0:0:0/96"), 0),
    (ipaddress.IPv6Network("::/96"), 0),
    (ipaddress.IPv6Network("64:ff9b::/96"), 0),
    (ipaddress.IPv6Network("64:ff9b:1::/48"), 0),
    (ipaddress.IPv6Network("2002::/16"), 80),
)
"""IPv6 that is IPv4 by another name, and how many bits stand below the 32 of the address."""
_TEREDO: Final = ipaddress.IPv6Network("2001::/32")
_ALL_BITS: Final = 0xFFFFFFFF


class Targets:
    """The rule for one relayed address; the first of its lines that matches wins."""

    def __init__(self, public_ip: str, *, private_allowed: bool) -> None:
        self._public = ipaddress.ip_address(public_ip)
        self._private_allowed = private_allowed
        self.own: frozenset[str] = frozenset()
        """Addresses of this machine, as IP literals; whoever owns the sockets keeps it true."""

    def set_own(self, addresses: Collection[str]) -> None:
        self.own = frozenset(addresses) - {str(self._public)}

    def verdict(self, ip: str) -> Verdict:
        """What may be sent to this literal."""
        address = ipaddress.ip_address(ip)
        if address == self._public:
            return Verdict.OURS
        if self._is_forbidden(address):
            return Verdict.FORBIDDEN
        if isinstance(address, ipaddress.IPv4Address):
            return Verdict.ALLOWED
        embedded = _embedded(address)
        if embedded is not None and (embedded == self._public or self._is_forbidden(embedded)):
            return Verdict.FORBIDDEN
        return Verdict.OTHER_FAMILY

    def _is_forbidden(self, address: IpAddress) -> bool:
        if str(address) in self.own or any(address in network for network in INNER):
            return True
        return not self._private_allowed and any(address in network for network in PRIVATE)


def _embedded(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    value = int(address)
    if address in _TEREDO:
        return ipaddress.IPv4Address(~value & _ALL_BITS)
    for network, below in _EMBEDDING:
        if address in network:
            return ipaddress.IPv4Address(value >> below & _ALL_BITS)
    return None
