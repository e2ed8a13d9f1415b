"""The configuration of a coturn that does what our TURN server would: for sites that outgrow one process."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from mesh_common.addresses import without_brackets
from myownmesh.turn.limits import Limits
from myownmesh.turn.targets import INNER, PRIVATE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from myownmesh.store.services_config import TurnService


def coturn_config(block: TurnService, *, private_peers: bool) -> str:
    """Lines for `turnserver -c FILE`. Holds the passwords. Raises `ValueError` for a `tls` member that says nothing."""
    return "\n".join(_lines(block, private_peers=private_peers)) + "\n"


def _lines(block: TurnService, *, private_peers: bool) -> Iterator[str]:
    bind, public_ip = without_brackets(block.bind), block.public_ip.strip()
    limits = Limits()
    yield "# What services.turn of this device says, for coturn. Keep it secret: it holds passwords."
    if not _is_unspecified(bind):
        yield f"listening-ip={bind}"
    if public_ip:
        yield f"external-ip={public_ip}"
    yield f"listening-port={block.port}"
    yield f"realm={block.realm}"
    yield "lt-cred-mech"
    for credential in block.credentials:
        yield f"user={credential.username}:{credential.password}"
    if block.relay_port_min:
        yield f"min-port={block.relay_port_min}"
        yield f"max-port={max(block.relay_port_min, block.relay_port_max)}"
    if block.max_bps_per_connection:
        yield f"max-bps={block.max_bps_per_connection}"
    yield f"user-quota={limits.per_user}"
    yield f"total-quota={limits.allocations}"
    if not block.tcp_enabled:
        yield "no-tcp"
    tls = block.tls
    if tls is None:
        yield "no-tls"
    else:
        yield f"cert={tls.cert_file}"
        yield f"pkey={tls.key_file}"
        yield f"tls-listening-port={tls.port}"
    yield from ("no-dtls", "no-tcp-relay", "no-cli", "no-multicast-peers")
    # Clients behind firewalls that let no UDP out meet relay to relay.
    if public_ip:
        yield f"allowed-peer-ip={public_ip}"
    for network in (*INNER, *(() if private_peers else PRIVATE)):
        yield (
            f"denied-peer-ip={network[0]}-{network[-1]}"
            if network.num_addresses > 1
            else f"denied-peer-ip={network[0]}"
        )


def _is_unspecified(bind: str) -> bool:
    try:
        return ipaddress.ip_address(bind).is_unspecified
    except ValueError:
        return False
