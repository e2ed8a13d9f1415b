"""Names that every member computes alike."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from myownmesh.protocol.ids import BadNetworkId, normalize_network_id
from myownmesh.signaling.room import DEFAULT_APP_ID, app_id_of, remote_driver, room_handle
from support.vectors import load


@pytest.mark.parametrize("case", load("signaling", "room_handles")["cases"])
def test_room_handle(case: dict[str, str]) -> None:
    assert room_handle(case["app_id"], case["network_id"]) == case["room_handle"]


@pytest.mark.parametrize("case", load("signaling", "network_id_normalisation")["cases"])
def test_network_ids_are_normalised_before_they_name_a_room(case: dict[str, Any]) -> None:
    expected = case.get("ours", case)
    if expected.get("error"):
        with pytest.raises(BadNetworkId):
            normalize_network_id(case["in"])
    else:
        assert normalize_network_id(case["in"]) == expected["out"]


@pytest.mark.parametrize("case", load("signaling", "strategy_values")["cases"])
def test_only_known_strategies_attach_a_remote_driver(case: dict[str, Any]) -> None:
    assert remote_driver(case["strategy"]) == case["remote_driver"]


def test_the_environment_replaces_the_app_id_even_by_nothing() -> None:
    assert app_id_of({}) == DEFAULT_APP_ID
    assert app_id_of({"MYOWNMESH_TRYSTERO_APP_ID": "fork"}) == "fork"
    assert app_id_of({"MYOWNMESH_TRYSTERO_APP_ID": ""}) == ""


@pytest.mark.heavy
def test_importing_the_client_loads_no_websocket_or_curve_library() -> None:
    program = (
        "import sys, myownmesh.signaling.client;"
        "print([m for m in ('trio_websocket', 'wsproto', 'coincurve', 'httpx', 'asyncio') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
