"""Two devices meet, part and meet again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from mesh_common.events import PeerApproved, PeerAuthenticated, PeerDropped
from myownmesh.engine import EngineConfig
from myownmesh.protocol.frames import Channel
from myownmesh.simulator import World

if TYPE_CHECKING:
    from myownmesh.simulator import Node

ASKING = EngineConfig(auto_approve=False)


def listen(node: Node, channel: str) -> list[tuple[str, bytes]]:
    """Sender and payload of what comes."""
    heard: list[tuple[str, bytes]] = []
    node.switch.channels.listen(channel, lambda peer, payload: heard.append((peer, bytes(payload))))
    return heard


def test_two_devices_meet() -> None:
    world = World()
    low, high = world.pair()
    took = world.run_until(world.all_linked, within=1.0)
    assert took < 0.1
    for node, other in ((low, high), (high, low)):
        [proof] = node.heard(PeerAuthenticated)
        assert proof.verification_code == node.info(other).verification_code_received
        assert proof.verification_code == other.info(node).verification_code_sent
        assert proof.label == other.identity.label
        assert [event.device_id for event in node.heard(PeerApproved)] == [other.device_id]
        assert node.saved.is_authorized(other.device_id)
        assert node.engine.phase == "active"


def test_frames_pass_both_ways_once_linked() -> None:
    world = World()
    low, high = world.pair()
    world.run_until(world.all_linked, within=1.0)
    for node, other in ((low, high), (high, low)):
        heard = listen(other, "chat")
        sent = node.send(other, Channel(channel="chat", payload=msgspec.Raw(b'"hi"')))
        world.run(0.1)
        assert (sent.is_there(), sent.error) == (True, None)
        assert heard == [(node.device_id, b'"hi"')]


@pytest.mark.parametrize("first", ["low", "high"])
def test_people_approve_one_after_the_other(first: str) -> None:
    world = World()
    low, high = world.pair(ASKING)
    world.run_until(lambda: low.status(high) == high.status(low) == "pending_approval", within=1.0)
    early, late = (low, high) if first == "low" else (high, low)
    early.approve(late)
    world.run(30.0)
    assert early.status(late) == late.status(early) == "pending_approval"
    late.approve(early)
    world.run_until(world.all_linked, within=0.1)


def test_an_approval_is_remembered() -> None:
    world = World()
    low, high = world.pair(ASKING)
    world.run(1.0)
    low.approve(high)
    high.approve(low)
    world.run_until(world.all_linked, within=0.1)
    high.kill()
    world.run(1.0)
    world.node(high.identity, ASKING, roster=high.saved)
    world.run_until(world.all_linked, within=5.0)


@pytest.mark.parametrize("who", ["low", "high"])
def test_a_killed_process_is_back_within_half_a_second(who: str) -> None:
    world = World()
    pair = dict(zip(("low", "high"), world.pair(), strict=True))
    world.run_until(world.all_linked, within=1.0)
    world.run(20.0)
    victim = pair[who]
    victim.kill()
    again = world.node(victim.identity)
    [survivor] = [node for node in pair.values() if node is not victim]
    world.run_until(lambda: again.is_linked(survivor) and survivor.is_linked(again), within=0.5)


def test_a_departure_is_seen_at_once() -> None:
    world = World()
    low, high = world.pair()
    world.run_until(world.all_linked, within=1.0)
    high.leave()
    world.run_until(lambda: low.peer(high) is None, within=0.3)
    assert low.drops() == ["user_left"]
    published = len(world.room.published)
    world.run(60.0)
    assert len(world.room.published) == published, "somebody dialled the one who left"


def test_a_removed_device_is_told_and_asks_again() -> None:
    world = World()
    low, high = world.pair(ASKING)
    world.run(1.0)
    low.approve(high)
    high.approve(low)
    world.run_until(world.all_linked, within=0.1)
    low.remove(high)
    assert low.drops() == ["denied"]
    world.run(0.1)
    assert high.drops() == ["denied"]
    world.run(150.0)
    assert low.status(high) == "pending_approval"


@pytest.mark.parametrize("denier", ["low", "high"])
def test_who_looks_anew_at_once_after_a_denial_knocks_again(denier: str) -> None:
    """The look that brought the denied knock is less than the gap between two announces ago."""
    world = World()
    low, high = world.pair(ASKING)
    here, asking = (low, high) if denier == "low" else (high, low)

    def knocks() -> bool:
        return here.status(asking) == "pending_approval"

    world.run_until(knocks, within=1.0)
    here.remove(asking)
    world.run(3.0)
    for _ in range(3):
        asking.reconnect()
        world.run_until(knocks, within=4.0)  # three of them where the other side has just answered somebody
        here.remove(asking)
        world.run(0.05)
        assert asking.status(here) is None


def test_a_silent_death_is_noticed_and_forgotten() -> None:
    world = World()
    low, high = world.pair()
    world.run_until(world.all_linked, within=1.0)
    high.kill()
    world.run_until(lambda: low.peer(high) is None, within=61.0)
    assert low.drops()[0] == "ice_failed"
    world.run(400.0)
    assert low.peer(high) is None
    offers = len(world.room.published)
    world.run(100.0)
    assert all(sender == low.device_id for _, sender, _ in world.room.published[offers:])
    assert low.engine.phase == "alone"


def test_events_of_one_life_are_in_order() -> None:
    world = World()
    low, high = world.pair()
    world.run_until(world.all_linked, within=1.0)
    high.leave()
    world.run(1.0)
    names = [type(event).__name__ for event in low.events]
    assert names == [
        "PeerSighted",
        "PhaseChanged",
        "PeerAuthenticated",
        "PeerApproved",
        "PhaseChanged",
        "PeerDropped",
        "PhaseChanged",
    ]
    assert isinstance(low.events[-2], PeerDropped)
