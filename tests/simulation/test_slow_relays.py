"""Slow relays: a reply belongs to one attempt, however late it comes (spec 04 §5.5, §5.9; 03 §23-V)."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from myownmesh.protocol.signals import Announce, Leave, SendAnswer, SendCandidate, SendOffer
from myownmesh.simulator import Faults, ReferenceNode, World
from support.examples import few

if TYPE_CHECKING:
    from myownmesh.identity import Identity
    from myownmesh.simulator import Node

MARGIN_S = 1.0
"""What a return may take beside three deliveries: announce, offer, answer."""

DELAYS_S = [0.1, 0.5, 1.0, 1.25, 1.5, 1.8, 2.0, 2.5, 3.0, 4.0, 5.0]


def slow_down(world: World, *delays_s: float) -> None:
    """From now on every event comes so late; with several relays each brings its own copy of it."""
    world.room.copies = tuple(delays_s)


def pair_on_slow_relays(seed: int, *delays_s: float) -> tuple[World, dict[str, Node]]:
    world = World(seed)
    pair = dict(zip(("low", "high"), world.pair(), strict=True))
    world.run_until(world.all_linked, within=1.0)
    world.run(random.Random(seed).uniform(20.0, 60.0))
    slow_down(world, *delays_s)
    return world, pair


def time_to_return(world: World, victim: Node, pair: dict[str, Node], *, within: float) -> float:
    again = world.node(victim.identity)
    [survivor] = [node for node in pair.values() if node is not victim]
    took = world.run_until(lambda: again.is_linked(survivor) and survivor.is_linked(again), within=within)
    world.run(120.0)
    assert again.is_linked(survivor), "the link came up and was lost again"
    assert survivor.is_linked(again), "the link came up and was lost again"
    return took


@pytest.mark.parametrize("seed", few(range(3), every=3))
@pytest.mark.parametrize("delay_s", DELAYS_S)
@pytest.mark.parametrize("who", ["low", "high"])
def test_a_killed_process_is_back_after_three_deliveries(who: str, delay_s: float, seed: int) -> None:
    world, pair = pair_on_slow_relays(seed, delay_s)
    pair[who].kill()
    assert time_to_return(world, pair[who], pair, within=200.0) < 3 * delay_s + MARGIN_S


@pytest.mark.parametrize("down_s", few([0.0, 0.3, 0.5, 1.0, 2.0, 4.0, 7.0, 20.0], every=4))
@pytest.mark.parametrize("delay_s", DELAYS_S)
@pytest.mark.parametrize("who", ["low", "high"])
def test_a_process_that_left_is_back_after_three_deliveries(who: str, delay_s: float, down_s: float) -> None:
    world, pair = pair_on_slow_relays(1, delay_s)
    pair[who].leave()
    world.run_until(lambda: not pair[who].running, within=1.0)
    world.run(down_s)
    assert time_to_return(world, pair[who], pair, within=200.0) < 3 * delay_s + MARGIN_S


@pytest.mark.parametrize("delays_s", [(0.3, 4.0), (1.8, 2.0, 5.0), (2.0, 2.0), (5.0, 4.0)], ids=str)
@pytest.mark.parametrize("end", ["kill", "leave"])
@pytest.mark.parametrize("who", ["low", "high"])
def test_the_fastest_of_several_relays_counts(who: str, end: str, delays_s: tuple[float, ...]) -> None:
    world, pair = pair_on_slow_relays(1, *delays_s)
    if end == "kill":
        pair[who].kill()
    else:
        pair[who].leave()
        world.run_until(lambda: not pair[who].running, within=1.0)
    assert time_to_return(world, pair[who], pair, within=200.0) < 3 * min(delays_s) + MARGIN_S


@pytest.mark.parametrize("down_s", few([23.87, 25.19], every=2))
@pytest.mark.parametrize("delay_s", [3.9, 4.97])
def test_who_comes_back_while_its_link_is_given_up_is_offered_to_at_once(delay_s: float, down_s: float) -> None:
    """The path has failed for 30 s just after the announce, before the link was suspected."""
    seconds = []
    for late_s in (down_s + step / 20 for step in range(40)):
        world, pair = pair_on_slow_relays(1, delay_s)
        pair["high"].kill()
        world.run(late_s)
        seconds.append(time_to_return(world, pair["high"], pair, within=200.0))
    assert max(seconds) < 3 * delay_s + MARGIN_S


@pytest.mark.parametrize("delay_s", DELAYS_S)
def test_a_first_meeting_takes_three_deliveries(delay_s: float) -> None:
    world = World(4)
    slow_down(world, delay_s)
    low, high = world.identities(2)
    world.node(low)
    world.run(30.0)
    world.node(high)
    assert world.run_until(world.all_linked, within=200.0) < 3 * delay_s + MARGIN_S


@pytest.mark.parametrize("seed", few(range(8), every=4))
@pytest.mark.parametrize("delay_s", [1.0, 2.0, 5.0])
def test_both_dial_over_a_slow_relay(delay_s: float, seed: int) -> None:
    world = World(seed)
    slow_down(world, delay_s)
    low, high = world.pair()
    world.run(random.Random(seed).uniform(0.0, 3 * delay_s))
    low.connect(high)
    world.run(random.Random(seed + 100).uniform(0.0, 2 * delay_s))
    high.connect(low)
    world.run_until(world.all_linked, within=3 * delay_s + MARGIN_S)
    world.run(60.0)
    assert world.all_linked()


def end(world: World, node: Node, how: str) -> None:
    if how == "kill":
        node.kill()
        return
    node.leave()
    world.run_until(lambda: not node.running, within=1.0)


@pytest.mark.parametrize("up_s", few([0.05, 0.5, 1.0, 2.0, 3.0, 6.0, 10.0], every=4))
@pytest.mark.parametrize("delays_s", [(0.05,), (1.5,), (2.5,), (3.0,), (4.5,), (5.0, 4.0)], ids=str)
@pytest.mark.parametrize("ends", [("kill", "leave"), ("leave", "kill")], ids=str)
@pytest.mark.parametrize("who", ["low", "high"])
def test_who_is_started_twice_is_back_after_three_deliveries(
    who: str, ends: tuple[str, str], delays_s: tuple[float, ...], up_s: float
) -> None:
    """The second end meets announces, offers, answers or a link of the first start, by how long that one ran."""
    world, pair = pair_on_slow_relays(2, *delays_s)
    end(world, pair[who], ends[0])
    pair[who] = world.node(pair[who].identity)
    world.run(up_s)
    end(world, pair[who], ends[1])
    assert time_to_return(world, pair[who], pair, within=200.0) < 3 * min(delays_s) + MARGIN_S


@pytest.mark.parametrize("apart_s", [0.0, 0.1, 0.5, 1.0, 4.0])
@pytest.mark.parametrize("delays_s", [(0.05,), (0.5,), (1.8,), (3.0,), (5.0,), (0.3, 4.0)], ids=str)
@pytest.mark.parametrize("first", ["low", "high"])
def test_two_that_are_killed_at_once_are_back_after_three_deliveries(
    first: str, delays_s: tuple[float, ...], apart_s: float
) -> None:
    """Each finds what the other's former process announced, and whoever offers to that is heard by nobody."""
    world, pair = pair_on_slow_relays(3, *delays_s)
    for node in pair.values():
        node.kill()
    pair[first] = world.node(pair[first].identity)
    world.run(apart_s)
    [other] = {"low", "high"} - {first}
    assert time_to_return(world, pair[other], pair, within=200.0) < 3 * min(delays_s) + MARGIN_S


KINDS = (Announce, Leave, SendOffer, SendAnswer, SendCandidate)


@pytest.mark.parametrize("seed", few(range(20), every=5))
def test_restarts_in_a_row_over_a_relay_of_uneven_speed(seed: int) -> None:
    rng = random.Random(seed)
    world, pair = pair_on_slow_relays(seed)
    world.disturb(*KINDS, faults=Faults(delay=(0.5, 3.0)))
    for _ in range(4):
        who = rng.choice(["low", "high"])
        if rng.random() < 0.5:
            pair[who].kill()
        else:
            pair[who].leave()
            world.run(1.0)
        world.run(rng.uniform(0.0, 4.0))
        pair[who] = world.node(pair[who].identity)
    world.run_until(world.all_linked, within=40.0)


@pytest.mark.parametrize("delay_s", [delay_s for delay_s in DELAYS_S if delay_s < 5.0])
@pytest.mark.parametrize("end", ["kill", "leave"])
@pytest.mark.parametrize("who", ["low", "high"])
def test_a_peer_that_names_no_offer_is_back_too(who: str, end: str, delay_s: float) -> None:
    """One of the two speaks as v0.3.8 does: a wrong answer costs an attempt, not the half minute of its clock."""
    world, pair = pair_on_slow_relays(1, delay_s)
    world.room.like_the_reference.add(pair[who].device_id)
    if end == "kill":
        pair[who].kill()
    else:
        pair[who].leave()
        world.run_until(lambda: not pair[who].running, within=1.0)
    assert time_to_return(world, pair[who], pair, within=200.0) < 5 * delay_s + 3.0


def start_of_the_reference(world: World, low: Identity, high: Identity, who: str) -> ReferenceNode:
    mine, others = (low, high) if who == "low" else (high, low)
    node = ReferenceNode(world, mine, others.device_id)
    node.start()
    return node


def are_linked(ours: Node, theirs: ReferenceNode) -> bool:
    return theirs.is_linked(ours) and ours.status(theirs) == "active"


@pytest.mark.parametrize("settled_s", few([0.5, 24.0, 70.0], every=3))
@pytest.mark.parametrize("delays_s", [(0.1,), (1.0,), (1.8,), (3.0,), (5.0,), (5.0, 3.0, 4.0)], ids=str)
@pytest.mark.parametrize("killed", ["ours", "ours twice", "ours ended", "theirs", "theirs, down a while"])
@pytest.mark.parametrize("reference", ["low", "high"])
def test_a_killed_process_is_back_where_the_other_is_v0_3_8(
    reference: str, killed: str, delays_s: tuple[float, ...], settled_s: float
) -> None:
    world = World(7)
    low, high = world.identities(2)
    theirs = start_of_the_reference(world, low, high, reference)
    mine = high if reference == "low" else low
    ours = world.node(mine)
    world.run_until(lambda: are_linked(ours, theirs), within=1.0)
    world.run(settled_s)
    slow_down(world, *delays_s)
    if killed in ("ours", "ours twice"):
        ours.kill()
        world.run(1.0)
        ours = world.node(mine, roster=ours.saved)
        if killed == "ours twice":
            world.run(2.0)
            ours.kill()
            world.run(0.5)
            ours = world.node(mine, roster=ours.saved)
    elif killed == "ours ended":
        ours.leave()
        world.run_until(lambda: not ours.running, within=1.0)
        ours = world.node(mine, roster=ours.saved)
    else:
        theirs.kill()
        world.run(0.2 if killed == "theirs" else 3.0)
        theirs = start_of_the_reference(world, low, high, reference)
    took = world.run_until(lambda: are_linked(ours, theirs), within=200.0)
    world.run(120.0)
    assert are_linked(ours, theirs), "the link came up and was lost again"
    assert took < 3 * min(delays_s) + MARGIN_S


@pytest.mark.parametrize("seed", range(1, 6))
def test_an_answer_is_held_against_the_first_offer_also_when_that_was_repeated(seed: int) -> None:
    """Two offers 0.1 s apart over a relay that has only just become slow: the second is repeated before its answer."""
    for delay_s in (3.0 + step / 25 for step in range(25)):
        world = World(seed)
        low, high = world.identities(2)
        theirs = start_of_the_reference(world, low, high, "high")
        ours = world.node(low)
        world.run_until(lambda ours=ours, theirs=theirs: are_linked(ours, theirs), within=1.0)
        world.run(0.3)
        slow_down(world, delay_s)
        theirs.kill()
        world.run(0.2)
        theirs = start_of_the_reference(world, low, high, "high")
        took = world.run_until(lambda ours=ours, theirs=theirs: are_linked(ours, theirs), within=200.0)
        assert took < 3 * delay_s + MARGIN_S


@pytest.mark.parametrize("apart_s", [0.0, 1.0, 10.0])
@pytest.mark.parametrize("delay_s", [0.5, 1.8, 5.0])
@pytest.mark.parametrize("first", ["ours", "theirs"])
@pytest.mark.parametrize("reference", ["low", "high"])
def test_a_first_meeting_with_v0_3_8_takes_three_deliveries(
    reference: str, first: str, delay_s: float, apart_s: float
) -> None:
    world = World(9)
    slow_down(world, delay_s)
    low, high = world.identities(2)
    mine = high if reference == "low" else low
    if first == "ours":
        ours = world.node(mine)
        world.run(apart_s)
        theirs = start_of_the_reference(world, low, high, reference)
    else:
        theirs = start_of_the_reference(world, low, high, reference)
        world.run(apart_s)
        ours = world.node(mine)
    took = world.run_until(lambda: are_linked(ours, theirs), within=200.0)
    world.run(120.0)
    assert are_linked(ours, theirs), "the link came up and was lost again"
    assert took < 3 * delay_s + MARGIN_S
