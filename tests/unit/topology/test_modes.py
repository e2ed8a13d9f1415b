"""Shapes as people write them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import json

from myownmesh.protocol.strict_json import dumps
from myownmesh.topology import BadTopology, effective, parse_topology, shape
from myownmesh.topology.modes import Hubs, read_mode
from support.vectors import load


@pytest.mark.parametrize(
    "case", load("control-socket", "topology_spec"), ids=lambda case: f"{case['topology']} {case['hub']}"
)
def test_topology_spec_vectors(case: dict[str, Any]) -> None:
    if "error" in case:
        with pytest.raises(BadTopology) as refused:
            parse_topology(case["topology"], case["hub"])
        assert str(refused.value) == case["error"]
    else:
        assert json.decode(json.encode(shape(parse_topology(case["topology"], case["hub"])))) == case["mode"]


@pytest.mark.parametrize("case", load("topology", "topology_mode"), ids=lambda case: str(case["json"]))
def test_effective_shapes(case: dict[str, Any]) -> None:
    assert json.decode(json.encode(shape(effective(read_mode(dumps(case["json"])))))) == case["effective"]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("a:b:3", Hubs(("a:b",), 3)),
        ("a: 2 ", Hubs(("a",), 2)),
        ("a:+2", Hubs(("a",), 2)),
        ("a:4294967295", Hubs(("a",), 2**32 - 1)),
        ("a:000000000000002", Hubs(("a",), 2)),
    ],
)
def test_the_last_colon_starts_the_redundancy(spec: str, expected: Hubs) -> None:
    assert parse_topology("hubs", spec) == expected


@pytest.mark.parametrize("number", ["", "-1", "1.0", "4294967296", "٣", "9" * 5000, "1 2", "0x2"])
def test_a_redundancy_is_a_32_bit_number(number: str) -> None:
    with pytest.raises(BadTopology) as refused:
        parse_topology("hubs", f"a:{number}")
    assert str(refused.value) == f"invalid spoke redundancy '{number}' — expected a number"


@given(st.text(max_size=12) | st.sampled_from(["ring", "star", "hubs", "full_mesh"]), st.none() | st.text(max_size=12))
def test_any_text_is_a_shape_or_is_refused(topology: str, hub: str | None) -> None:
    try:
        mode = parse_topology(topology, hub)
    except BadTopology as refused:
        assert str(refused)  # noqa: PT017
    else:
        assert shape(mode).kind in ("ring", "star", "hubs", "full_mesh")
