"""The shapes against the vectors of spec 04 §8.2–8.4, and what holds for any ids."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from myownmesh.protocol.modes import FullMesh, Hubs, Ring, Star, read_mode
from myownmesh.protocol.strict_json import dumps
from myownmesh.topology.choices import BY_IDS, distance, ranking
from myownmesh.topology.hubs import MAX_HUBS
from myownmesh.topology.members import Members
from myownmesh.topology.shapes import shape_of
from support.vectors import load

if TYPE_CHECKING:
    from myownmesh.protocol.modes import TopologyMode
    from myownmesh.topology.shapes import Shape


def shape_in(case: dict[str, Any]) -> Shape:
    return shape_of(read_mode(dumps(case["mode"])))


@pytest.mark.parametrize("case", load("topology", "select_preferred"), ids=lambda case: case["name"])
def test_whom_a_member_prefers(case: dict[str, Any]) -> None:
    preferred = shape_in(case).preferred(case["self"], case["peers"])
    assert {peer for peer in case["peers"] if peer in preferred} == set(case["preferred"])
    assert {peer for peer in case["peers"] if peer not in preferred} == set(case["shelve"])


@pytest.mark.parametrize("case", load("topology", "edge_matrix"), ids=lambda case: case["name"])
def test_who_holds_a_link_to_whom(case: dict[str, Any]) -> None:
    shape, members = shape_in(case), Members(case["members"])
    edges = [[one, other] for one, other in combinations(case["members"], 2) if shape.edge(one, other, members)]
    assert edges == case["edges"]
    assert len(edges) == case["edge_count"]


@pytest.mark.parametrize("case", load("topology", "edge_single"), ids=lambda case: case["name"])
def test_ends_that_are_not_listed(case: dict[str, Any]) -> None:
    assert shape_in(case).edge(case["a"], case["b"], Members(case["members"])) is case["edge"]


@pytest.mark.parametrize("case", load("topology", "next_hops"), ids=lambda case: case["name"])
def test_the_way_to_a_destination(case: dict[str, Any]) -> None:
    assert shape_in(case).next_hops(case["self"], case["dest"], case["connected"]) == case["next_hops"]


@pytest.mark.parametrize("case", load("topology", "mode_properties"), ids=lambda case: str(case["mode"]))
def test_what_a_mode_does(case: dict[str, Any]) -> None:
    shape = shape_in(case)
    assert (shape.forwards(case["self"]), shape.prunes) == (case["forwards"], case["prunes"])
    assert shape.flood_ttl == case["flood_ttl"]


@pytest.mark.parametrize("case", load("topology", "ring_distance"), ids=lambda case: f"{case['a']} {case['b']}")
def test_distance_on_a_ring(case: dict[str, Any]) -> None:
    assert distance(case["a"], case["b"]) == case["distance"]


@pytest.mark.parametrize("case", load("topology", "hub_ranking"), ids=lambda case: case["spoke"])
def test_the_hubs_of_a_spoke(case: dict[str, Any]) -> None:
    assert ranking(case["spoke"], case["hubs"]) == case["order"]


@given(st.text(max_size=4), st.lists(st.text(max_size=3), min_size=1, max_size=9), st.integers(1, 5))
def test_a_hub_finds_its_spokes_as_they_find_it(spoke: str, hubs: list[str], count: int) -> None:
    homes = BY_IDS.homes(spoke, hubs, count)
    assert {hub for hub in hubs if BY_IDS.serves(hub, spoke, hubs, count)} == homes


def test_only_the_spokes_of_a_hub_move_when_it_goes() -> None:
    case = load("topology", "hub_removal")
    left = [hub for hub in case["with_hubs"] if hub != case["without"]]
    moved = {}
    for number in range(64):
        spoke = f"spoke-{number}"
        first, now = ranking(spoke, case["with_hubs"])[0], ranking(spoke, left)[0]
        assert first in (now, case["without"])
        if first != now:
            moved[spoke] = now
    assert moved == {each["spoke"]: each["now"] for each in case["rehomed"]}


@pytest.mark.parametrize(
    "case", load("peer-protocol", "routing")["ring_preferred"], ids=lambda case: f"{case['self']} {case['n']}"
)
def test_ring_neighbours(case: dict[str, Any]) -> None:
    assert shape_of(Ring(case["n"])).preferred(case["self"], case["peers"]) == set(case["preferred"])


ids = st.text("abcdz27-", min_size=1, max_size=7)
rooms = st.lists(ids, min_size=2, max_size=24, unique=True)


@st.composite
def shaped(draw: st.DrawFn) -> tuple[TopologyMode, list[str]]:
    room = draw(rooms)
    some = st.lists(st.sampled_from([*room, "nobody"]), max_size=6).map(tuple)
    mode = draw(
        st.one_of(
            st.builds(Ring, st.none() | st.integers(0, 30)),
            st.builds(Star, st.sampled_from([*room, "nobody", ""])),
            st.builds(Hubs, some, st.none() | st.integers(0, 5)),
            st.just(FullMesh()),
        )
    )
    return mode, room


@given(shaped())
@example((Ring(2), [f"d{number}" for number in range(8)]))
@example((Ring(None), ["a", "b"]))
def test_an_edge_has_two_ends_and_the_view_of_one_member_is_the_sum_of_its_edges(
    case: tuple[TopologyMode, list[str]],
) -> None:
    mode, room = case
    shape, members = shape_of(mode), Members(room)
    for me in room:
        edges = {peer for peer in room if peer != me and shape.edge(me, peer, members)}
        assert edges == {peer for peer in room if peer != me and shape.edge(peer, me, members)}
        assert shape.wanted(me, members) == edges
        others = [peer for peer in room if peer != me]
        preferred = shape.preferred(me, others)
        assert {peer for peer in others if peer in preferred} <= edges, "who is preferred has an edge"
        # Whether the two are listed makes no difference.
        alone = Members(peer for peer in room if peer != me)
        assert shape.wanted(me, alone) == edges
        assert edges == {peer for peer in others if shape.edge(me, peer, alone)}


@given(shaped())
def test_a_ring_is_the_choice_of_either_end(case: tuple[TopologyMode, list[str]]) -> None:
    mode, room = case
    if isinstance(mode, Ring):
        shape = shape_of(mode)
        for one, other in combinations(room, 2):
            chosen = [
                to in shape.preferred(by, [each for each in room if each != by])
                for by, to in ((one, other), (other, one))
            ]
            assert shape.edge(one, other, Members(room)) is any(chosen)


@given(shaped(), st.data())
def test_next_hops_are_connected_and_never_ourselves(case: tuple[TopologyMode, list[str]], data: st.DataObject) -> None:
    mode, room = case
    me, dest = data.draw(st.sampled_from(room)), data.draw(st.sampled_from([*room, "nobody"]))
    connected = data.draw(st.lists(st.sampled_from(room), unique=True))
    hops = shape_of(mode).next_hops(me, dest, connected)
    assert set(hops) <= set(connected) - {me}


def test_of_too_many_hubs_the_first_count() -> None:
    hubs = tuple(f"hub{number}" for number in range(MAX_HUBS + 1))
    shape = shape_of(Hubs(hubs))
    assert shape.forwards(hubs[-2])
    assert not shape.forwards(hubs[-1])


@example([(True, "a"), (True, "a"), (False, "b"), (False, "a")])
@given(st.lists(st.tuples(st.booleans(), ids)))
@example([(True, "a"), (True, "a"), (False, "a"), (False, "a")])
def test_members_are_a_sorted_set(steps: list[tuple[bool, str]]) -> None:
    members, expected = Members(), set[str]()
    for is_in, member in steps:
        if is_in:
            assert members.add(member) is (member not in expected)
            expected.add(member)
        else:
            assert members.discard(member) is (member in expected)
            expected.discard(member)
        assert list(members) == sorted(expected)
        assert len(members) == len(expected)
        assert (member in members) is (member in expected)
    for place, member in enumerate(sorted(expected)):
        assert members.place(member) == place
        assert members[place] == members[place - len(expected)] == member


def test_on_a_ring_of_one_a_side_its_neighbours_are_wanted() -> None:
    assert shape_of(Ring(1)).wanted("b", Members("abcde")) == {"a", "c"}
    assert shape_of(Ring(1)).wanted("x", Members("abcde")) == {"a", "e"}


def test_in_a_full_mesh_there_is_nothing_to_forward() -> None:
    shape = shape_of(FullMesh())
    assert not shape.forwards("a")
    assert shape.next_hops("a", "c", ["b"]) == []
    assert not shape.prunes
