"""Which addresses of this machine are offered to peers, and in which order (spec 04 §10.6).

The rules of what is left out are those of v0.3.8, with additions: a rule must not make a device unreachable. What they
leave out comes back where nothing else is left, where the routing table says that it is the way out, and where a card
shows that it is a LAN, or a cable between two machines, rather than a bridge of containers. And the bound on their
number is one by worth: first the addresses of the default routes, then those over which the relays are reached, then
cards before tunnels before bridges, and one address of each interface before a second of any.
"""

from __future__ import annotations

import ipaddress
from enum import Enum, IntEnum
from typing import TYPE_CHECKING

from attrs import field, frozen
from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

EXCLUDED_INTERFACE_PREFIXES = ("docker", "br-", "veth", "virbr", "vmnet", "cni", "flannel", "cali", "kube")
"""Bridges of containers and virtual machines: nobody outside can reach their addresses."""
MAX_HOST_ADDRESSES = 16
"""A machine with many privacy addresses would otherwise send as many candidates to every peer."""

_LINK_LOCAL = (ipaddress.ip_network("169.254.0.0/16"), ipaddress.ip_network("fe80::/10"))


class InterfaceKind(IntEnum):
    """What is behind an interface; the lower, the more likely somebody else is."""

    CARD = 0
    """A network card, or a bridge, bond or VLAN over one."""
    OTHER = 1
    """A tunnel, or what this system does not tell."""
    BRIDGE = 2
    """A bridge without a card: containers and virtual machines of this machine."""


class Reason(Enum):
    """Why an address is not offered, in words for people."""

    CONTAINERS = "its interface has the name of a bridge of containers or virtual machines"
    LINK_LOCAL = "link-local, and there are others"
    TOO_MANY = f"there are more than {MAX_HOST_ADDRESSES}, and others are worth more"


@frozen
class LocalAddress:
    """An address of an interface of this machine."""

    interface: str
    address: str
    prefix: int = field(default=0, eq=False)
    """Bits of its network; 0 if unknown."""
    scope_id: int = 0
    """Interface number of an IPv6 link-local address, 0 with all others."""
    kind: InterfaceKind = field(default=InterfaceKind.OTHER, eq=False)
    is_running: bool = field(default=True, eq=False)
    """Whether the interface has a carrier."""

    def is_beside(self, address: str) -> bool:
        """Whether the other address lies in the network of this one."""
        if not self.prefix:
            return False
        network = ipaddress.ip_network((self.address, self.prefix), strict=False)
        other = ipaddress.ip_address(address)
        return other.version == network.version and other in network


class LeftOut(Struct, frozen=True):
    """An address that is not offered."""

    address: LocalAddress
    reason: Reason

    def __str__(self) -> str:
        return f"{self.address.address} of {self.address.interface}: {self.reason.value}"


class HostAddresses(Struct, frozen=True):
    """The outcome of `choose`."""

    offered: tuple[LocalAddress, ...]
    """Worth first, at most `MAX_HOST_ADDRESSES`."""
    left_out: tuple[LeftOut, ...] = ()
    loopback: tuple[LocalAddress, ...] = ()
    """For two devices on a machine without network: where no other address can be used."""


def interface_excluded(name: str) -> bool:
    """Whether v0.3.8 gathers no candidate on the interface of this name."""
    return name.startswith(EXCLUDED_INTERFACE_PREFIXES)


def address_gathered(address: str) -> bool:
    """Whether v0.3.8 gathers a candidate for this address of an interface that is not excluded."""
    return _means_something(address) and not _is_link_local(address)


def is_gathered(local: LocalAddress) -> bool:
    """Both: whether v0.3.8 gathers a candidate for it."""
    return address_gathered(local.address) and not interface_excluded(local.interface)


def choose(
    found: Iterable[LocalAddress], *, default_routes: Collection[str] = (), relay_sources: Collection[str] = ()
) -> HostAddresses:
    """Choose among all addresses of this machine.

    `default_routes` are the addresses that packets to the internet would come from, `relay_sources` those that the
    connections to the relays come from.
    """
    distinct = list(dict.fromkeys(found))
    loopback = tuple(local for local in distinct if ipaddress.ip_address(local.address).is_loopback)[:1]
    usable = [local for local in distinct if _means_something(local.address)]
    ways = {*default_routes, *relay_sources}
    addressed = {local.interface for local in usable if not _is_link_local(local.address)}
    reasons = {local: reason for local in usable if (reason := _reason(local, addressed)) and local.address not in ways}
    # A card without a carrier keeps the address that somebody gave it, and nobody is reached over it.
    last_resort = not any((is_gathered(local) and local.is_running) or local.address in ways for local in usable)
    seen: dict[tuple[str, int], int] = {}

    def worth(local: LocalAddress) -> tuple[int, ...]:
        family = ipaddress.ip_address(local.address).version
        before = seen[local.interface, family] = seen.get((local.interface, family), -1) + 1
        excluded = _is_for_containers(local)
        if local.address in default_routes:
            way = 0
        elif local.address in relay_sources and not excluded:
            way = 1
        elif local.address in relay_sources:
            way = 2  # a relay in a container of this machine is reached over such a bridge too
        else:
            way = 3
        return way, not local.is_running, excluded, _is_link_local(local.address), before, local.kind

    worths = {local: worth(local) for local in usable}
    ranked = sorted((local for local in usable if last_resort or local not in reasons), key=worths.__getitem__)
    left_out = () if last_resort else tuple(LeftOut(local, reason) for local, reason in reasons.items())
    cut = tuple(LeftOut(local, Reason.TOO_MANY) for local in ranked[MAX_HOST_ADDRESSES:])
    return HostAddresses(tuple(ranked[:MAX_HOST_ADDRESSES]), left_out + cut, loopback)


def _reason(local: LocalAddress, addressed: Collection[str]) -> Reason | None:
    """`addressed` are the interfaces that have more than link-local addresses."""
    if _is_for_containers(local):
        return Reason.CONTAINERS
    if not _is_link_local(local.address):
        return None
    is_cable = local.kind is InterfaceKind.CARD and local.is_running and local.interface not in addressed
    return None if is_cable else Reason.LINK_LOCAL


def _is_for_containers(local: LocalAddress) -> bool:
    """By its name, unless there is a card in it: that bridge is somebody's LAN."""
    return interface_excluded(local.interface) and local.kind is not InterfaceKind.CARD


def _means_something(address: str) -> bool:
    """Whether the address could mean something to another machine."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    return not (ip.is_loopback or ip.is_unspecified or ip.is_multicast)


def _is_link_local(address: str) -> bool:
    ip = ipaddress.ip_address(address)
    return any(ip.version == network.version and ip in network for network in _LINK_LOCAL)
