"""What becomes of the saved networks when a link is used (spec 11 §1.3)."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from myownllm.catalog.envelope import invited_settings
from myownllm.catalog.model import Catalog
from myownllm.catalog.network import DEFAULT_STUN, SavedNetwork
from myownllm.cli.networks import joined

TOLD: dict[str, Any] = {
    "kind": "myownllm.network-settings",
    "version": 1,
    "network_id": "home",
    "label": "Home",
    "signaling_servers": ["wss://relay.example"],
}
OTHER = SavedNetwork(id="net-0", network_id="work")


def saved(told: dict[str, Any], catalog: Catalog) -> Catalog:
    settings = invited_settings(told)
    assert settings is not None
    return joined(catalog, settings, "net-1")


def test_the_network_of_a_link_is_saved_and_active() -> None:
    catalog = saved(TOLD, Catalog(networks=(OTHER,), active_network_id=OTHER.id))
    network = catalog.by_wire_id("home")
    assert network is not None
    assert (network.id, network.label, network.signaling_servers) == ("net-1", "Home", ("wss://relay.example",))
    assert catalog.active_network_id == "net-1"
    assert catalog.networks[0] == OTHER


@pytest.mark.parametrize(
    ("named", "servers"),
    [
        ({}, DEFAULT_STUN),
        ({"stun_servers": []}, ()),
        ({"stun_servers": ["stun:s.example:3478"]}, ("stun:s.example:3478",)),
    ],
)
def test_stun_servers_that_a_link_leaves_out_are_the_usual_ones(
    named: dict[str, Any], servers: tuple[str, ...]
) -> None:
    network = saved({**TOLD, **named}, Catalog()).by_wire_id("home")
    assert network is not None
    assert network.stun_servers == servers


def test_a_network_that_is_saved_already_becomes_active_and_stays_as_it_is() -> None:
    mine = attrs.evolve(OTHER, id="net-7", network_id="home", label="mine")
    catalog = saved(TOLD, Catalog(networks=(OTHER, mine), active_network_id=OTHER.id))
    assert catalog == Catalog(networks=(OTHER, mine), active_network_id="net-7")


@pytest.mark.parametrize(
    "told", [None, {}, {"kind": "something.else", "network_id": "home"}, {**TOLD, "network_id": 7}]
)
def test_what_is_no_settings_is_none(told: dict[str, Any] | None) -> None:
    assert invited_settings(told) is None
