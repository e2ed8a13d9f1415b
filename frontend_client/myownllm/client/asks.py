"""The requests of the client's procedures, each with the class of its answer. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from myownllm import answers
from myownllm.client.messages import Ask, ReadCatalog, ReadOwned

if TYPE_CHECKING:
    from myownllm.answers import NetworkSummary, Status
    from myownllm.catalog.coerce import JsonObject
    from myownllm.catalog.model import Catalog
    from myownllm.catalog.network import SavedNetwork
    from myownllm.client.procedures import Procedure


def ask(operation: str, /, *, timeout_s: float | None = None, **members: Any) -> Procedure[object]:
    """One operation whose answer says no more than that it is done. Raises MeshError."""
    return (yield Ask(operation, members, timeout_s))


def status() -> Procedure[Status]:
    return answers.status((yield Ask("status")))


def networks() -> Procedure[tuple[NetworkSummary, ...]]:
    return answers.networks((yield Ask("networks_list")))


def stored_record(network: SavedNetwork) -> Procedure[JsonObject | None]:
    """The daemon's saved record of a network, whatever local id it has there."""
    return answers.stored_record((yield Ask("config_show")), network.wire_id)


def update(config: JsonObject) -> Procedure[bool]:
    """Bring an edited record into the daemon; True when that restarted the network."""
    return answers.restarted((yield Ask("network_update", {"config": config})))


def peers(network: str) -> Procedure[list[JsonObject]]:
    return answers.peers((yield Ask("peers_list", {"network": network})))


def catalog() -> Procedure[Catalog]:
    """The saved networks. Raises HomeError."""
    return cast("Catalog", (yield ReadCatalog()))


def owned(device_id: str) -> Procedure[tuple[str, ...]]:
    """Networks that this app added to the shared daemon of that device id."""
    return cast("tuple[str, ...]", (yield ReadOwned(device_id)))
