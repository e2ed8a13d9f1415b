"""What becomes of the saved networks when a link is used (spec 11 §1.3)."""

from __future__ import annotations

from typing import Any

import attrs
import msgspec
import pytest

from myownllm.catalog.envelope import export_envelope, import_envelope, invited_settings
from myownllm.catalog.model import Catalog, read_config
from myownllm.catalog.network import DEFAULT_STUN, SEALING, SavedNetwork, with_sealing
from myownllm.membership import drifted, overlay
from myownllm.network_changes import joined

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


def test_what_a_link_says_of_signaling_is_saved_and_told_to_the_daemon() -> None:
    told = {"mdns": False, "strategy": "none", "denylist": ["r.example"], "servers": ["x"], "listen_only": True}
    network = saved({**TOLD, "signaling": {**told, "later": {"deep": [1]}}}, Catalog()).by_wire_id("home")
    assert network is not None
    assert network.signaling == {"mdns": False, "strategy": "none", "denylist": ["r.example"]}
    assert network.to_daemon()["signaling"] == {**network.signaling, "servers": ["wss://relay.example"]}
    assert SavedNetwork.from_json(network.to_json(), str) == network
    exported = import_envelope(msgspec.json.encode(export_envelope(network)))
    assert exported is not None
    assert joined(Catalog(), exported, "net-2").networks[0].signaling == network.signaling
    # On a daemon that has it so there is nothing to do, nor on one that keeps nothing of what it does not know.
    stored = {**network.to_daemon(), "signaling": {**network.to_daemon()["signaling"], "redundancy": 5}}
    assert drifted(stored, network.to_daemon()) == ()
    older = {k: v for k, v in stored["signaling"].items() if k != "mdns"}
    assert drifted({**stored, "signaling": older}, network.to_daemon()) == ()
    other = {**stored["signaling"], "mdns": True}
    assert drifted({**stored, "signaling": other}, network.to_daemon()) == ("signaling",)


@pytest.mark.parametrize("has", [None, "prefer", "require", "off"])
@pytest.mark.parametrize("word", SEALING)
def test_a_mode_of_sealing_is_drift_where_the_daemon_would_keep_it(has: str | None, word: str) -> None:
    network = SavedNetwork(id="net-1", network_id="home", signaling=with_sealing({"mdns": False}, word))
    wanted = network.to_daemon()
    assert wanted["signaling"] == {"strategy": "nostr", "mdns": False, "sealed": word, "servers": []}
    rest = {k: v for k, v in wanted["signaling"].items() if k != "sealed"}
    stored = {**wanted, "signaling": rest if has is None else {**rest, "sealed": has}}
    differs = ("signaling",) if word != (has or "prefer") else ()
    assert drifted(stored, wanted, keeps_all=True) == differs
    assert drifted(overlay(stored, wanted), wanted, keeps_all=True) == (), "told once"
    # v0.3.8 never keeps the word: telling it again would never end.
    if has is None:
        assert drifted(stored, wanted) == ()


def test_a_configuration_of_a_daemon_keeps_its_unusual_signaling() -> None:
    signaling = {"strategy": "nostr", "mdns": False, "servers": ["wss://r"], "redundancy": 5, "denylist": ["d"]}
    raw = {"networks": [{"id": "net-1", "network_id": "home", "signaling": signaling}]}
    assert read_config(raw, 0, str).catalog.networks[0].signaling == {"mdns": False}
    signaling["sealed"] = "require"
    assert read_config(raw, 0, str).catalog.networks[0].signaling == {"mdns": False, "sealed": "require"}


@pytest.mark.parametrize(
    "told", [None, {}, {"kind": "something.else", "network_id": "home"}, {**TOLD, "network_id": 7}]
)
def test_what_is_no_settings_is_none(told: dict[str, Any] | None) -> None:
    assert invited_settings(told) is None
