"""Shapes of a network as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from msgspec import Raw

from myownmesh.protocol import strict_json
from myownmesh.protocol.json_words import JsonError
from myownmesh.protocol.modes import FullMesh, Hubs, Ring, Star, read_mode
from support.vectors import load

if TYPE_CHECKING:
    from myownmesh.protocol.modes import TopologyMode


@pytest.mark.parametrize("case", load("topology", "topology_mode"), ids=lambda case: str(case["json"]))
def test_mode_vectors(case: dict[str, Any]) -> None:
    mode = read_mode(strict_json.dumps(case["json"]))
    written = msgspec.json.decode(msgspec.json.encode(mode))
    # What is not said stays unsaid: signed entries carry the text.
    assert {name: value for name, value in written.items() if value is not None} == {
        name: value for name, value in case["json"].items() if value is not None
    }
    match mode:
        case Ring():
            assert mode.effective_n_preferred == case["effective"]["n_preferred"]
        case Hubs():
            assert mode.effective_spoke_redundancy == case["effective"]["spoke_redundancy"]
        case FullMesh() | Star():
            assert written == case["effective"]


@pytest.mark.parametrize("example", load("control-socket", "enums")["topology"])
def test_shapes_are_written_with_every_member(example: dict[str, Any]) -> None:
    assert msgspec.json.decode(msgspec.json.encode(read_mode(strict_json.dumps(example)))) == example


@pytest.mark.parametrize(
    ("text", "mode"),
    [
        ('{"zz":1,"hub":"x","kind":"star"}', Star("x")),
        ('{"kind":"full_mesh","hub":1,"hub":2}', FullMesh()),
        ('{"kind":"hubs","hubs":[],"spoke_redundancy":null}', Hubs(())),
    ],
)
def test_unknown_members_and_order_do_not_matter(text: str, mode: TopologyMode) -> None:
    assert read_mode(Raw(text.encode())) == mode


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('"ring"', 'invalid type: string "ring", expected internally tagged enum TopologyMode'),
        ("{}", "missing field `kind`"),
        ('{"kind":"torus"}', "unknown variant `torus`, expected one of `ring`, `star`, `hubs`, `full_mesh`"),
        ('{"kind":null,"kind":"ring"}', "invalid type: null, expected variant identifier"),
        ('{"kind":"star"}', "missing field `hub`"),
        ('{"kind":"star","hub":null}', "invalid type: null, expected a string"),
        ('{"kind":"hubs"}', "missing field `hubs`"),
        ('{"kind":"ring","n_preferred":1.5}', "invalid type: floating point `1.5`, expected u32"),
        ('{"kind":"ring","kind":"ring"}', "duplicate field `kind`"),
        ('{"kind":"ring","n_preferred":1,"n_preferred":1}', "duplicate field `n_preferred`"),
    ],
)
def test_wrong_shapes_are_refused_in_the_words_of_the_reference(text: str, words: str) -> None:
    with pytest.raises(JsonError) as refused:
        read_mode(Raw(text.encode()))
    assert str(refused.value) == words
