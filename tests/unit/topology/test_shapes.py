"""The shapes that are built, against the vectors (topology.json `select_preferred`, `edge_matrix`)."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import pytest

from myownmesh.protocol.modes import FullMesh, Hubs, Ring, Star, read_mode
from myownmesh.protocol.strict_json import dumps
from myownmesh.topology.shapes import SHAPES, is_built, shape_of
from support.vectors import load


def built(section: str) -> list[dict[str, Any]]:
    return [case for case in load("topology", section) if is_built(read_mode(dumps(case["mode"])))]


@pytest.mark.parametrize("case", built("select_preferred"), ids=lambda case: case["name"])
def test_whom_a_member_prefers(case: dict[str, Any]) -> None:
    preferred = shape_of(read_mode(dumps(case["mode"]))).preferred(case["self"], case["peers"])
    assert [peer for peer in case["peers"] if peer in preferred] == case["preferred"]
    assert [peer for peer in case["peers"] if peer not in preferred] == case["shelve"]


@pytest.mark.parametrize("case", built("edge_matrix"), ids=lambda case: case["name"])
def test_who_holds_a_link_to_whom(case: dict[str, Any]) -> None:
    shape, members = shape_of(read_mode(dumps(case["mode"]))), case["members"]
    edges = [[one, other] for one, other in combinations(members, 2) if shape.edge(one, other, members)]
    assert edges == case["edges"]
    assert all(shape.edge(other, one, members) for one, other in edges), "an edge has two ends"


def test_what_is_not_built_behaves_as_a_full_mesh() -> None:
    assert set(SHAPES) == {FullMesh}
    for mode in (Ring(), Star("hub"), Hubs(("a",))):
        assert not is_built(mode)
        assert shape_of(mode) is shape_of(FullMesh())
