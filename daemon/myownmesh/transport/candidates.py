"""ICE candidate lines of peers (spec 04 §10.6)."""

from __future__ import annotations

import ipaddress

from mesh_common.values import Value

MAX_CANDIDATE_CHARS = 512

_KINDS = {"host": "host", "srflx": "server_reflexive", "prflx": "peer_reflexive", "relay": "relay"}
_LAN = tuple(
    map(
        ipaddress.ip_network,
        ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "fc00::/7", "fe80::/10"),
    )
)
_USABLE_TYPES = ("host", "srflx", "relay")


class RemoteCandidate(Value, frozen=True):
    """A peer's candidate that can be used: UDP, component 1, an address.

    mDNS names are of no use: neither v0.3.8 nor we send any, and a peer's names would be asked for in our network.
    """

    foundation: str
    priority: int
    host: str
    port: int
    type: str

    @property
    def is_loopback(self) -> bool:
        return ipaddress.ip_address(self.host).is_loopback


def parse_candidate(text: str) -> RemoteCandidate | None:
    """Read a candidate line with or without `candidate:`; None if it is malformed or of no use."""
    if len(text) > MAX_CANDIDATE_CHARS:
        return None
    fields = text.strip().removeprefix("a=").removeprefix("candidate:").split()
    if len(fields) < 8 or fields[6] != "typ" or fields[7] not in _USABLE_TYPES:
        return None
    foundation, component, transport, priority, host, port = fields[:6]
    if component != "1" or transport.lower() != "udp" or not _usable_host(host) or len(foundation) > 64:
        return None
    priority_number = _decimal(priority, 2**32 - 1)
    port_number = _decimal(port, 65_535)
    if priority_number is None or not port_number:
        return None
    return RemoteCandidate(foundation=foundation, priority=priority_number, host=host, port=port_number, type=fields[7])


def kind_of_type(candidate_type: str) -> str:
    """`host`, `srflx`, `prflx`, `relay` in the words of the control socket."""
    return _KINDS.get(candidate_type, "unknown")


def kind_of_end(candidate_type: str, address: str) -> str:
    """What an end of a path is: on the local network whatever ICE calls it, unless it is a relay (spec 04 §9.4)."""
    return "host" if candidate_type != "relay" and is_lan(address) else kind_of_type(candidate_type)


def is_lan(address: str) -> bool:
    """A private or link-local address. That of a provider's own network (100.64.0.0/10) is none."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(ip.version == network.version and ip in network for network in _LAN)


def _usable_host(host: str) -> bool:
    try:
        ip = ipaddress.ip_address(host)
    except ValueError:
        return False
    scoped = isinstance(ip, ipaddress.IPv6Address) and ip.scope_id is not None
    return not (ip.is_multicast or ip.is_unspecified or scoped or host == "255.255.255.255")


def _decimal(text: str, largest: int) -> int | None:
    if not (text.isascii() and text.isdigit() and len(text) <= 10):
        return None
    number = int(text)
    return number if number <= largest else None
