"""Which addresses belong to the local network: those of this machine that others there can open, and theirs."""

from __future__ import annotations

import ipaddress
import socket

_FAR_AWAY = ("198.41.0.4", 9)
"""A root name server, which only the default route leads to; nothing is sent."""


def is_local(address: str) -> bool:
    """Is it an address that the internet does not route: private, link-local, loopback, or shared by a provider?"""
    try:
        return not ipaddress.ip_address(address).is_global
    except ValueError:
        return False


def own_addresses() -> list[str]:
    """IPv4 addresses of this machine that devices of its local networks can open, the likeliest first."""
    import psutil  # type: ignore[import-untyped]  # it ships no types; needed only while the remote screen is on

    stats = psutil.net_if_stats()
    found = [
        entry.address
        for name, entries in psutil.net_if_addrs().items()
        if name in stats and stats[name].isup
        for entry in entries
        if entry.family == socket.AF_INET and is_local(entry.address) and not entry.address.startswith("127.")
    ]
    usual = _source_address()
    return sorted(dict.fromkeys(found), key=lambda address: address != usual)


def _source_address() -> str:
    """From where a packet to the internet would come; empty without a route."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect(_FAR_AWAY)  # of a datagram socket: asks the routing table and no more
            return str(probe.getsockname()[0])
    except OSError:
        return ""
