"""Which addresses of this machine are offered to peers (spec 04 §10.6).

The rules are those of v0.3.8, with one addition: on a machine that has no other address the loopback one is used, so
that two devices on a machine without network still meet.
"""

from __future__ import annotations

import ipaddress

EXCLUDED_INTERFACE_PREFIXES = ("docker", "br-", "veth", "virbr", "vmnet", "cni", "flannel", "cali", "kube")
"""Bridges of containers and virtual machines: nobody outside can reach their addresses."""
MAX_HOST_ADDRESSES = 16
"""A machine with many privacy addresses would otherwise send as many candidates to every peer."""

_LINK_LOCAL = (ipaddress.ip_network("169.254.0.0/16"), ipaddress.ip_network("fe80::/10"))


def interface_excluded(name: str) -> bool:
    """Whether no candidate is gathered on the interface of this name."""
    return name.startswith(EXCLUDED_INTERFACE_PREFIXES)


def address_gathered(address: str) -> bool:
    """Whether a candidate is gathered for this address of an interface that is not excluded."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    if ip.is_loopback or ip.is_unspecified or ip.is_multicast:
        return False
    return not any(ip.version == network.version and ip in network for network in _LINK_LOCAL)


def host_addresses() -> list[str]:
    """Addresses to gather on, in the order of the interfaces; loopback alone if there is no other."""
    import ifaddr

    found: list[str] = []
    loopback: list[str] = []
    for adapter in ifaddr.get_adapters():
        for ip in adapter.ips:
            address = ip.ip if isinstance(ip.ip, str) else ip.ip[0]
            if isinstance(ip.ip, tuple) and ip.ip[2] != 0:
                continue  # scoped: meaningless to a peer
            if address in ("127.0.0.1", "::1"):
                loopback.append(address)
            elif not interface_excluded(adapter.nice_name) and address_gathered(address):
                found.append(address)
    return list(dict.fromkeys(found))[:MAX_HOST_ADDRESSES] or sorted(loopback)[:1]
