"""The requests of the client's procedures, each with the class of its answer. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from mesh_common import answers
from mesh_common.client.asking import read_answer
from myownllm.client.messages import Ask, ReadCatalog, ReadOwned
from myownllm.ids import comparable_network_id
from myownllm.peers import peer_rows

if TYPE_CHECKING:
    from mesh_common.answers import StatusAnswer
    from mesh_common.views import OurNetwork
    from myownllm.catalog.model import Catalog
    from myownllm.catalog.network import SavedNetwork
    from myownllm.client.life import Life
    from myownllm.client.procedures import Procedure
    from myownllm.client.state import Picture
    from myownllm.coerce import JsonObject


def ask(operation: str, /, *, timeout_s: float | None = None, **members: object) -> Procedure[object]:
    """One operation whose answer says no more than that it is done. Raises ControlError."""
    return (yield Ask(operation, members, timeout_s))


def status() -> Procedure[StatusAnswer]:
    return read_answer(answers.StatusAnswer, "status", (yield Ask("status")))


def label() -> Procedure[str]:
    """What this device is called."""
    return read_answer(answers.IdentityAnswer, "identity_show", (yield Ask("identity_show"))).label


def networks() -> Procedure[tuple[OurNetwork, ...]]:
    return read_answer(answers.OurNetworksAnswer, "networks_list", (yield Ask("networks_list"))).networks


def stored_record(network: SavedNetwork) -> Procedure[JsonObject | None]:
    """The daemon's saved record of a network, whatever local id it has there."""
    config = read_answer(answers.ConfigAnswer, "config_show", (yield Ask("config_show"))).config
    records = [r for r in config.get("networks", ()) if isinstance(r, dict)]
    return next((r for r in records if comparable_network_id(str(r.get("network_id", ""))) == network.wire_id), None)


def update(config: JsonObject) -> Procedure[bool]:
    """Bring an edited record into the daemon; True when that restarted the network."""
    answer = yield Ask("network_update", {"config": config})
    return read_answer(answers.NetworkUpdated, "network_update", answer).restarted


def show_peers(life: Life, picture: Picture) -> Procedure[None]:
    """Read the peers and show them; an answer that a later question has overtaken shows nothing (FE-5.17)."""
    life.peers_asked += 1
    number = life.peers_asked
    rows = peer_rows((yield Ask("peers_list", {"network": life.wire_id})))
    if number > life.peers_shown:
        life.peers_shown = number
        picture.show_peers(rows)


def catalog() -> Procedure[Catalog]:
    """The saved networks. Raises HomeError."""
    return cast("Catalog", (yield ReadCatalog()))


def owned(device_id: str) -> Procedure[tuple[str, ...]]:
    """Networks that this app added to the shared daemon of that device id."""
    return cast("tuple[str, ...]", (yield ReadOwned(device_id)))
