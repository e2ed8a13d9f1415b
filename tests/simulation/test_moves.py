"""Whole devices whose network changes, goes and comes back, or that sleep: how soon they reach each other again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msgspec import Raw

from myownmesh.netwatch.pace import CHANGES_BURST, CHANGES_PER_S, Pace
from myownmesh.netwatch.snapshot import Snapshot
from myownmesh.protocol.frames import Channel
from myownmesh.protocol.signals import SendOffer
from myownmesh.simulator import World

if TYPE_CHECKING:
    from myownmesh.simulator import Node

BACK_S = 3.0
"""The issue's bound: from the change until a call works again, whichever side moved."""
ROLES = ("low", "high")


def linked(seed: int = 1) -> tuple[World, dict[str, Node]]:
    world = World(seed)
    low, high = world.pair()
    world.run_until(world.all_linked, within=2.0)
    world.run(5.0 + world.rng.uniform(0.0, 60.0))
    return world, {"low": low, "high": high}


def reach(world: World, one: Node, other: Node) -> float:
    """Seconds until frames that are sent now pass both ways; more than `BACK_S` fails."""
    begin = world.clock.seconds
    heard: set[str] = set()
    for node in (one, other):
        node.switch.channels.listen("c", lambda peer, _payload: heard.add(peer))
    frame = Channel(channel="c", payload=Raw(b"1"))
    while len(heard) < 2:
        assert world.clock.seconds - begin <= BACK_S, "too late"
        for node, far in ((one, other), (other, one)):
            if node.is_linked(far):
                node.send(far, frame)
        world.run(0.05)
    return world.clock.seconds - begin


@pytest.mark.parametrize("mover", [*ROLES, "both"])
def test_a_move_that_is_noticed_costs_no_link_and_a_fraction_of_a_second(mover: str) -> None:
    for seed in range(5):
        world, nodes = linked(seed)
        for role in ROLES:
            if mover in (role, "both"):
                nodes[role].move(is_told=True)
        assert reach(world, nodes["low"], nodes["high"]) < 1.0
        world.run(60.0)
        assert nodes["low"].drops() == nodes["high"].drops() == []


@pytest.mark.parametrize("elsewhere", [False, True])
@pytest.mark.parametrize("away_s", [2.0, 20.0, 45.0, 120.0, 900.0])
@pytest.mark.parametrize("who", ROLES)
def test_after_an_outage_of_any_length_a_device_is_reached_at_once(who: str, away_s: float, elsewhere: bool) -> None:
    """Its peer sees nothing of the outage but silence, and gives the link up after half a minute."""
    for seed in range(3):
        world, nodes = linked(seed)
        nodes[who].unplug()
        world.run(away_s)
        nodes[who].plug_in(elsewhere=elsewhere)
        reach(world, nodes["low"], nodes["high"])
        world.run(60.0)
        assert world.all_linked()
        if away_s <= 20.0:
            assert nodes["low"].drops() == nodes["high"].drops() == []


@pytest.mark.parametrize("who", ROLES)
def test_without_a_network_a_device_tries_nothing_gives_nothing_up_and_says_why(who: str) -> None:
    world, nodes = linked()
    node, other = nodes[who], nodes["high" if who == "low" else "low"]
    node.unplug()
    before = world.room.count(SendOffer, node.device_id)
    world.run(600.0)
    assert world.room.count(SendOffer, node.device_id) == before
    assert node.drops() == []
    why = node.info(other).why
    assert why is not None
    assert (why.code, why.since_ms) == ("offline", 600_000)


@pytest.mark.parametrize("who", ROLES)
@pytest.mark.parametrize("slept_s", [5.0, 40.0, 100.0, 3600.0])
def test_a_device_that_slept_is_reached_at_once(who: str, slept_s: float) -> None:
    for seed in range(3):
        world, nodes = linked(seed)
        nodes[who].sleep()
        world.run(slept_s)
        nodes[who].wake()
        reach(world, nodes["low"], nodes["high"])
        world.run(60.0)
        assert world.all_linked()


def test_both_were_asleep() -> None:
    world, nodes = linked()
    for node in nodes.values():
        node.sleep()
    world.run(3600.0)
    for node in nodes.values():
        node.wake()
    reach(world, nodes["low"], nodes["high"])


def network(number: int) -> Snapshot:
    address = f"10.0.{number // 256}.{number % 256}"
    return Snapshot(address, None, frozenset({address}))


@pytest.mark.parametrize("who", ROLES)
def test_an_interface_that_flaps_ten_times_a_second_is_bounded_and_costs_no_link(who: str) -> None:
    """The watch's pace in front of the engine: every change moves the device, some are passed on."""
    world, nodes = linked()
    node = nodes[who]
    pace, began = Pace(world.clock.seconds), world.clock.seconds
    offers = sum(world.room.count(SendOffer, each.device_id) for each in nodes.values())
    pace.looked(network(0), world.clock.seconds)

    def look() -> None:
        if pace.due is not None and pace.due <= world.clock.seconds:
            change = pace.looked(network(world.wire.moves[node.device_id]), world.clock.seconds)
            if change is not None:
                node.switch.network_moved(change.move, change.told())

    for _ in range(601):
        node.move()
        pace.noticed(world.clock.seconds)
        world.run(0.1)
        look()
    limit = CHANGES_BURST + (world.clock.seconds - began) * CHANGES_PER_S
    spent = sum(world.room.count(SendOffer, each.device_id) for each in nodes.values()) - offers
    assert spent <= 2 * limit + 8, "each side one for every change that was passed on, and some of its own"
    for _ in range(60):
        world.run(0.1)
        look()
    reach(world, nodes["low"], nodes["high"])
