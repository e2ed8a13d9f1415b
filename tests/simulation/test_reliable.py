"""Reliable sends through losses of links: nothing twice, nothing lost, nothing out of order."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import msgspec
import pytest

from myownmesh.engine import EngineConfig
from myownmesh.simulator import World
from myownmesh.simulator.calls import Outcome
from simulation.test_meeting import listen

if TYPE_CHECKING:
    from myownmesh.simulator import Node


def send(node: Node, other: Node, number: int, ttl_s: float = 600.0) -> Outcome:
    outcome = Outcome(node.world.clock)
    node.switch.send_reliable(other.device_id, "c", msgspec.Raw(str(number).encode()), ttl_s, outcome.sent)
    return outcome


def test_frames_sent_before_the_peer_is_there_arrive_when_it_comes() -> None:
    world = World()
    low, high = world.identities(2)
    early = world.node(low)
    late = world.node(high)
    heard = listen(late, "c")
    outcomes = [send(early, late, number) for number in range(10)]
    world.run_until(lambda: all(each.is_there() for each in outcomes), within=10.0)
    assert [each.error for each in outcomes] == [None] * 10
    assert [payload for _, payload in heard] == [str(number).encode() for number in range(10)]


@pytest.mark.parametrize("seed", range(12))
def test_through_cuts_rebuilds_and_reconnects_everything_arrives_once_and_in_order(seed: int) -> None:
    world = World(seed)
    rng = random.Random(seed)
    low, high = world.pair(EngineConfig(auto_approve=True))
    world.run_until(world.all_linked, within=5.0)
    sender, receiver = (low, high) if seed % 2 else (high, low)
    heard = listen(receiver, "c")
    outcomes: list[Outcome] = []
    for _ in range(12):
        for _ in range(rng.randrange(4)):
            outcomes.append(send(sender, receiver, len(outcomes)))
        match rng.randrange(4):
            case 0:
                world.cut(low, high)
                world.run(rng.uniform(0.0, 60.0))
                outcomes.append(send(sender, receiver, len(outcomes)))
                world.heal(low, high)
            case 1:
                one, other = rng.sample([low, high], 2)
                if (session := one.session_to(other)) is not None:
                    world.wire.lose(session, "lost")
            case 2:
                rng.choice([low, high]).reconnect()
            case _:
                pass
        world.run(rng.uniform(0.0, 20.0))
    world.run_until(lambda: all(each.is_there() for each in outcomes), within=300.0)
    assert [each.error for each in outcomes] == [None] * len(outcomes)
    assert [payload for _, payload in heard] == [str(number).encode() for number in range(len(outcomes))]


def test_a_receiver_that_is_started_anew_gets_what_nobody_acknowledged() -> None:
    world = World()
    low, high = world.pair()
    world.run_until(world.all_linked, within=5.0)
    high.kill()
    outcome = send(low, high, 1)
    world.run(5.0)
    again = world.node(high.identity, roster=high.saved)
    heard = listen(again, "c")
    world.run_until(outcome.is_there, within=60.0)
    assert outcome.error is None
    assert heard == [(low.device_id, b"1")]
