"""Changes to the network records of a configuration, as pure functions (spec 05 §8, 07 C5, C7).

They are applied to what is on disk at the moment of the save, so a person's edits to other members survive.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from myownmesh.protocol.ids import BadNetworkId, normalize_network_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from myownmesh.store.config import MeshConfig
    from myownmesh.store.network_config import NetworkConfig


def wire_id(network_id: str) -> str | None:
    """The name that a record's `network_id` stands for in the room; None when it cannot be one."""
    try:
        return normalize_network_id(network_id)
    except BadNetworkId:
        return None


def named(config: MeshConfig, alias: str) -> NetworkConfig | None:
    """The first record with this id or network id, as it is spelled."""
    return next((each for each in config.networks if alias in (each.id, each.network_id)), None)


def aliases_of(records: Iterable[NetworkConfig]) -> dict[str, str]:
    """What clients may call networks, with the normalised id that each name stands for; the first record keeps it."""
    aliases: dict[str, str] = {}
    for record in records:
        network_id = wire_id(record.network_id)
        if network_id is not None:
            for name in (record.id, record.network_id):
                aliases.setdefault(name, network_id)
    return aliases


def meant(name: str, aliases: Mapping[str, str]) -> str:
    """The id of the network that a name stands for; a name that nobody knows stands for itself, as an id."""
    return aliases.get(name) or wire_id(name) or name


def with_record(config: MeshConfig, record: NetworkConfig) -> MeshConfig:
    """Append a record unless one for the same network is there."""
    if any(_same(each, record) for each in config.networks):
        return config
    return replace(config, networks=(*config.networks, record))


def without(config: MeshConfig, record: NetworkConfig) -> MeshConfig:
    """Drop every record for the network of `record`."""
    return replace(config, networks=tuple(each for each in config.networks if not _same(each, record)))


def with_changed(
    config: MeshConfig, running: NetworkConfig, change: Callable[[NetworkConfig], NetworkConfig]
) -> MeshConfig:
    """Change the record for the network of `running` in its place, further ones for it or for its new names dropped.

    When there is none, somebody has taken it out of the file; `running` is changed and appended then.
    """
    old = next((each for each in config.networks if _same(each, running)), None)
    new = change(running if old is None else old)
    networks = [
        new if each is old else each for each in config.networks if each is old or not _is_any(each, running, new)
    ]
    if old is None:
        networks.append(new)
    return replace(config, networks=tuple(networks))


def with_pin(record: NetworkConfig, device_id: str) -> NetworkConfig:
    """The record with one more pinned peer."""
    if device_id in record.pinned_peers:
        return record
    return replace(record, pinned_peers=(*record.pinned_peers, device_id))


def _same(one: NetworkConfig, other: NetworkConfig) -> bool:
    """Whether two records are about one network: the same record id, or the same wire id in whatever spelling."""
    if one.id == other.id or one.network_id == other.network_id:
        return True
    wire = wire_id(one.network_id)
    return wire is not None and wire == wire_id(other.network_id)


def _is_any(record: NetworkConfig, *others: NetworkConfig) -> bool:
    return any(_same(record, other) for other in others)
