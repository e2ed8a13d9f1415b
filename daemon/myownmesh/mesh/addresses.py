"""What is wrong with the addresses of a network's record (spec 07 §4.3): refused at the door, told if in a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh_common.addresses import problems, relay_address, stun_address, turn_address
from myownmesh.mesh.errors import MeshError

if TYPE_CHECKING:
    from myownmesh.store.network_config import NetworkConfig
    from myownmesh.store.services_config import ServicesConfig


def address_problems(record: NetworkConfig) -> tuple[str, ...]:
    """One sentence for each relay, STUN or TURN address that this release cannot use."""
    return (
        *problems(record.signaling.servers, relay_address),
        *problems((url for entry in record.stun_servers for url in entry.urls), stun_address),
        *problems((url for entry in record.turn_servers for url in entry.urls), turn_address),
    )


def check_addresses(record: NetworkConfig, stored: NetworkConfig | None = None) -> None:
    """Raise `MeshError` for an address that cannot be used, unless the record that it replaces had it already.

    Who changes something else of a record must not be kept from it by what a file brought in long ago.
    """
    known = () if stored is None else address_problems(stored)
    if fresh := [problem for problem in address_problems(record) if problem not in known]:
        raise MeshError(f"network '{record.id}': {'; '.join(fresh)}")


def check_public_url(services: ServicesConfig, stored: ServicesConfig) -> None:
    """The same for the address that the hosted relay is advertised with."""
    url = services.signaling.public_url
    if url is not None and url != stored.signaling.public_url and (wrong := problems([url], relay_address)):
        raise MeshError(f"services.signaling.public_url: {wrong[0]}")
