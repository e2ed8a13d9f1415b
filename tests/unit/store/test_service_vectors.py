"""Defaults of what is hosted and of who is asked (vectors `services_config_default`, `signaling_config_default`,
`ice_defaults`)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from myownmesh.store.config import MeshConfig
from myownmesh.store.network_config import NetworkConfig
from myownmesh.store.services_config import ServicesConfig
from support import vectors

ICE = vectors.load("signaling", "ice_defaults")
RECORD = {"id": "home", "network_id": "home"}


def test_nothing_is_hosted_by_itself() -> None:
    wanted = vectors.load("signaling", "services_config_default")["value"]
    assert ServicesConfig().to_json() == wanted
    assert ServicesConfig.from_json({}).to_json() == wanted


def test_how_a_network_is_met_if_nobody_says() -> None:
    wanted = vectors.load("signaling", "signaling_config_default")["value"]
    assert NetworkConfig.from_json(RECORD).signaling.to_json() == wanted


@pytest.mark.parametrize("name", ["stun_servers", "turn_servers"])
def test_a_list_that_is_absent_is_the_default_and_an_empty_one_is_none(name: str) -> None:
    results = {case["config"]: case["result"] for case in ICE["absent_field_vs_empty"]}
    assert results == {"field absent": "defaults", "[]": "[]"}
    assert NetworkConfig.from_json(RECORD).to_json()[name] == ICE[name]
    assert NetworkConfig.from_json(RECORD | {name: []}).to_json()[name] == []


@pytest.mark.parametrize("case", ICE["v2_to_v3_migration"], ids=lambda case: str(case["out"]))
def test_only_the_old_default_is_migrated(case: dict[str, Any]) -> None:
    before = [case["in"]] if case["in"] else []
    config = {"version": 2, "networks": [RECORD | {"turn_servers": before}]}
    (after,) = MeshConfig.read(json.dumps(config).encode())[0].networks
    wanted = ICE["turn_servers"] if "default" in case["out"] else before
    assert after.to_json()["turn_servers"] == wanted
