"""States as JSON and back: nothing is lost, and nothing foreign comes in."""

from __future__ import annotations

import json
import math
from collections import OrderedDict, deque
from typing import Any

import msgspec
import pytest

from mesh_common.views import Phase, SelectedPair
from myownmesh.engine import EngineConfig
from myownmesh.engine.limits import MAX_KEPT_CANDIDATES
from myownmesh.engine.memory import Memories
from myownmesh.flight.graph import BadGraph, Decoder, Encoder
from myownmesh.protocol.clock import Instant
from myownmesh.protocol.signals import Candidate, PeerAnnounced
from myownmesh.protocol.tokens import TokenBucket
from myownmesh.roster import Roster


def there_and_back(value: Any) -> Any:
    return Decoder().decode(json.loads(json.dumps(Encoder().encode(value))))


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        2**70,
        1.5,
        math.inf,
        "text",
        b"\x00\xff",
        [1, [2]],
        (1, "a"),
        {1: (2,), ("k", 3): None},
        OrderedDict([("b", 1), ("a", 2)]),
        {"x", "y"},
        frozenset({1}),
        deque([1, 2], maxlen=3),
        Phase.ACTIVE,
        Instant(1.0, 2),
        PeerAnnounced("a", again=True),
        SelectedPair("host", "relay"),
        EngineConfig(),
        Roster("home").approve("a" * 52, "Laptop", 7),
        TokenBucket,
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_value(value: object) -> None:
    decoded = there_and_back(value)
    assert type(decoded) is type(value)
    assert decoded == value


def test_json_that_stays_text() -> None:
    assert bytes(there_and_back(msgspec.Raw(b'{"a":1}'))) == b'{"a":1}'


def test_bounds_and_what_two_places_share_are_kept() -> None:
    memories = Memories()
    memories.keep("a", Candidate("candidate:1"), 1.0)
    decoded = there_and_back([memories, deque([1], maxlen=9), memories])
    assert decoded[0] is decoded[2]
    assert decoded[1].maxlen == 9
    for _ in range(MAX_KEPT_CANDIDATES):
        decoded[0].keep("b", Candidate("candidate:2"), 2.0)
    assert not decoded[0].of("a").candidates, "the oldest of all: one object in two places"


def test_an_object_of_slots() -> None:
    bucket = there_and_back(TokenBucket(2.0, 5.0, 1.0))
    assert [bucket.take(1.0) for _ in range(6)] == [True] * 5 + [False]


def test_what_is_not_ours_does_not_go_out() -> None:
    with pytest.raises(TypeError, match="cannot be recorded"):
        Encoder().encode([object()])


def test_what_stays_behind() -> None:
    graph = Encoder(("label",)).encode(Roster("home").approve("a" * 52, "Laptop", 7))
    [[_, row]] = (each["tuple"] for each in graph["members"]["_rows"]["members"]["_whole"]["dict"])
    assert row["members"]["device_id"] == "a" * 52
    assert "label" not in row["members"]


@pytest.mark.parametrize(
    "graph",
    [
        {"object": "subprocess:Popen", "number": 0, "members": {"args": "true"}},
        {"object": "myownmesh.flight.graph:importlib", "number": 0, "members": {}},
        {"object": "myownmesh.flight.graph:Encoder.encode", "number": 0, "members": {}},
        {"object": "myownmesh.protocol.signals:Nothing", "number": 0, "members": {}},
        {"object": "myownmesh.protocol.signals:PeerAnnounced", "number": 0, "members": {"nope": 1}},
        {"class": "os:system"},
        {"class": "myownmesh.store.store:log"},
        {"enum": "mesh_common.views:Phase", "name": "NOPE"},
        {"again": 5},
        {"what": 1},
        {"list": None},
        [1],
    ],
    ids=lambda graph: str(graph)[:60],
)
def test_what_is_no_graph_of_ours_does_not_come_in(graph: Any) -> None:
    with pytest.raises(BadGraph):
        Decoder().decode(graph)
