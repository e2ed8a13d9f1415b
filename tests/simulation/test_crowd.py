"""Many devices at once: they all meet, the roster spreads, and the room stays quiet."""

from __future__ import annotations

import itertools
import random
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest

from myownmesh.engine import EngineConfig
from myownmesh.protocol.modes import FullMesh, Hubs, Ring, Star
from myownmesh.protocol.signals import Announce, SendAnswer, SendCandidate, SendOffer
from myownmesh.simulator import Faults, World
from support.examples import few

if TYPE_CHECKING:
    from myownmesh.protocol.signals import InboundSignal
    from myownmesh.simulator import Node


PAGE = Path(__file__).parents[2] / "docs" / "etiquette.md"


def test_eight_devices_become_a_full_mesh() -> None:
    world = World(8)
    for identity in world.identities(8):
        world.node(identity)
    world.run_until(world.all_linked, within=5.0)


def test_meeting_costs_each_link_a_summary_and_a_state() -> None:
    """Each activation used to tell everybody the roster: 9,000 frames for 20 devices, half a minute's for 50."""
    world = World(4)
    for identity in world.identities(20):
        world.node(identity)
    world.run(10.0)
    assert world.all_linked()
    links = 20 * 19
    gossip = sum(node.engine.traffic.gossip_tx.frames for node in world.nodes)
    [[_, before, now]] = _table("devices that meet")
    assert gossip <= float(now) * links < float(before) * links / 10
    assert {len(node.saved.entries) for node in world.nodes} == {19}


def test_a_linked_mesh_is_quiet() -> None:
    world = World(4)
    for identity in world.identities(5):
        world.node(identity)
    world.run_until(world.all_linked, within=5.0)
    world.run(60.0)
    announces = world.room.count(Announce)
    signals = len(world.room.published)
    world.run(3600.0)
    assert world.all_linked()
    assert len(world.room.published) - signals == world.room.count(Announce) - announces, "somebody negotiated"
    for node in world.nodes:
        assert announces_of(world, node, since=announces) <= 6
    assert world.room.count(Announce) > announces, "it still says that it is here"


def announces_of(world: World, node: Node, since: int) -> int:
    """Announces of a device behind the first `since` of all."""
    return [who for _, who, signal in world.room.published if isinstance(signal, Announce)][since:].count(
        node.device_id
    )


def _table(first: str) -> list[list[str]]:
    """The rows of the page's table that begins with this column."""
    lines = PAGE.read_text("utf-8").splitlines()
    begin = next(number for number, line in enumerate(lines) if line.startswith(f"| {first} |"))
    rows = itertools.takewhile(lambda line: line.startswith("|"), lines[begin + 2 :])
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


@pytest.mark.parametrize("row", few(_table("shape"), every=4), ids=lambda row: "-".join(row[:3]))
def test_every_room_and_shape_is_as_quiet_as_the_page_says(row: list[str]) -> None:
    """Spec 03 §10.3: where nobody is missed at most 6 announces an hour of each device, elsewhere 45."""
    mode, kind, count, told, _ = row
    assert int(told) <= (6 if kind == "open" else 45)
    world = World(4)
    first, second, *_ = identities = world.identities(int(count))
    hubs = (first.device_id, second.device_id)
    topology = {"ring": Ring(), "star": Star(hub=hubs[0]), "hubs": Hubs(hubs=hubs), "full_mesh": FullMesh()}[mode]
    config = EngineConfig(auto_approve=True, kind="silent" if kind == "silent" else "open", topology=topology)
    for identity in identities:
        world.node(identity, config)
    world.run(120.0)
    announces = world.room.count(Announce)
    world.run(3600.0)
    most = max(announces_of(world, node, since=announces) for node in world.nodes)
    assert int(told) - 2 <= most <= int(told)
    newcomer = world.node(world.identities(1)[0], config)
    world.run(1.0)
    assert {info.device_id for info in newcomer.switch.peers()} == {each.device_id for each in identities}


@pytest.mark.parametrize("is_lower", [False, True])
def test_a_device_that_announces_itself_and_never_answers_does_not_make_us_talk(is_lower: bool) -> None:
    """v0.3.8 announces itself 203 times an hour to such a ghost."""
    world = World(3)
    low, high = world.identities(2)
    node = world.node(low if is_lower else high)
    ghost = Ghost(world, high.device_id if is_lower else low.device_id)
    ghost.announce()
    world.run(60.0)
    announces = world.room.count(Announce)
    world.run(3600.0)
    assert announces_of(world, node, since=announces) <= 45


class Ghost:
    def __init__(self, world: World, device_id: str) -> None:
        self.world = world
        self.device_id = device_id
        world.room.join(self)

    def hear(self, item: InboundSignal) -> None:
        pass

    def announce(self) -> None:
        self.world.room.publish(self.device_id, Announce())
        self.world.clock.after(120.0, self.announce)


@pytest.mark.parametrize("kind", ["open", "silent"])
@pytest.mark.parametrize("latency", [0.003, 0.6])
def test_a_room_of_strangers_is_quiet(kind: Literal["open", "silent"], latency: float) -> None:
    """Nobody is admitted. Two v0.3.8 nodes so far apart answer each other's announces once a round trip, for ever."""
    world = World(4)
    world.disturb(Announce, SendOffer, SendAnswer, SendCandidate, faults=Faults(delay=(latency, latency)))
    for identity in world.identities(3):
        world.node(identity, EngineConfig(kind=kind))
    world.run(60.0)
    announces = world.room.count(Announce)
    world.run(3600.0)
    per_hour_and_member = (world.room.count(Announce) - announces) / 3
    assert per_hour_and_member <= 45


def test_one_persons_approval_admits_a_device_everywhere() -> None:
    """Open networks: whoever is rostered vouches (spec 01 §15.4)."""
    world = World(5)
    asking = EngineConfig()
    first, second, newcomer = (world.node(identity, asking) for identity in world.identities(3))
    world.run(1.0)
    first.approve(second)
    second.approve(first)
    world.run_until(lambda: world.all_linked([first, second]), within=1.0)
    newcomer.approve(first)
    newcomer.approve(second)
    world.run(1.0)
    assert not newcomer.is_linked(second)
    first.approve(newcomer)
    world.run_until(world.all_linked, within=1.0)
    assert second.saved.is_authorized(newcomer.device_id)


def test_a_removed_device_is_not_brought_back_by_gossip() -> None:
    world = World(6)
    asking = EngineConfig()
    first, second, third = (world.node(identity, asking) for identity in world.identities(3))
    for node in (first, second, third):
        for other in (first, second, third):
            if node is not other:
                node.approve(other)
    world.run_until(world.all_linked, within=2.0)
    first.remove(third)
    world.run(300.0)
    assert not first.saved.is_authorized(third.device_id)
    assert second.is_linked(third)
    assert first.status(third) == "pending_approval"


def test_silent_area() -> None:
    """Nobody dials on presence; one operator connects to each in turn (spec 04 §13)."""
    world = World(7)
    silent = EngineConfig(auto_approve=True, kind="silent")
    operator, *members = (world.node(identity, silent) for identity in reversed(world.identities(9)))
    world.run(3.0)
    assert len(operator.switch.peers()) == len(members)
    assert not any(info.authenticated for node in world.nodes for info in node.switch.peers())
    for member in members:
        dial = operator.connect(member)
        world.run_until(dial.is_there, within=5.0)
        assert dial.error is None
    for one in members:
        assert [info.device_id for info in one.switch.peers() if info.authenticated] == [operator.device_id]


@pytest.mark.parametrize("seed", range(6))
def test_devices_come_and_go(seed: int) -> None:
    """Random kills, departures, starts and cuts; when the trouble ends everybody is linked."""
    world = World(seed)
    rng = random.Random(seed)
    identities = world.identities(5)
    running = {identity.device_id: world.node(identity) for identity in identities}
    for _ in range(25):
        world.run(rng.uniform(0.0, 20.0))
        identity = rng.choice(identities)
        node = running.get(identity.device_id)
        match rng.choice(["kill", "leave", "cut", "reconnect"]):
            case "kill" if node is not None:
                running.pop(identity.device_id).kill()
            case "leave" if node is not None:
                running.pop(identity.device_id).leave()
            case "cut" if node is not None:
                other = running.get(rng.choice(identities).device_id)
                if other is not None and other is not node:
                    world.cut(node, other)
                    world.clock.after(rng.uniform(1.0, 100.0), partial(world.heal, node, other))
            case "reconnect" if node is not None:
                node.reconnect()
            case _:
                pass
        if node is None:
            running[identity.device_id] = world.node(identity)
    for identity in identities:
        if identity.device_id not in running:
            running[identity.device_id] = world.node(identity)
    world.run(100.0)
    world.run_until(lambda: world.all_linked(running.values()), within=400.0)
    world.run(300.0)
    assert world.all_linked(running.values())


@pytest.mark.parametrize("seed", range(4))
def test_one_approval_each_makes_a_mesh_and_one_removal_lasts(seed: int) -> None:
    """Newcomers know one member each, some of whom restart meanwhile; gossip does the rest (spec 01 §15.4)."""
    world = World(seed)
    rng = random.Random(seed)
    asking = EngineConfig()
    identities = world.identities(rng.randint(3, 5))
    nodes = [world.node(identity, asking) for identity in identities]

    def restart(index: int) -> None:
        nodes[index].kill()
        nodes[index] = world.node(identities[index], asking, roster=nodes[index].saved)

    for newcomer in range(1, len(nodes)):
        sponsor = rng.randrange(newcomer)
        nodes[newcomer].approve(nodes[sponsor])
        nodes[sponsor].approve(nodes[newcomer])
        world.run(rng.uniform(0.0, 3.0))
        if rng.random() < 0.5:
            restart(rng.randrange(newcomer + 1))
    world.run_until(lambda: world.all_linked(nodes), within=60.0)
    for node in nodes:
        others = {other.device_id for other in nodes if other is not node}
        assert {entry.device_id for entry in node.saved.entries} == others

    nodes[0].remove(nodes[1])
    world.run(300.0)
    restart(0)
    world.run(300.0)
    assert not nodes[0].saved.is_authorized(nodes[1].device_id)
    assert nodes[0].status(nodes[1]) == "pending_approval"
    nodes[0].approve(nodes[1])
    world.run_until(lambda: world.all_linked(nodes), within=2.0)
