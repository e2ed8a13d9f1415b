"""Rooms with a shape: who holds a link to whom once everything is quiet, and how frames reach everybody."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import msgspec
import pytest

from mesh_common.events import PeerDropped
from myownmesh.engine import EngineConfig
from myownmesh.protocol.frames import Channel
from myownmesh.protocol.modes import FullMesh, Hubs, Ring, Star
from myownmesh.simulator import World
from myownmesh.topology.members import Members
from myownmesh.topology.shapes import shape_of
from simulation.test_meeting import listen

if TYPE_CHECKING:
    from myownmesh.protocol.modes import TopologyMode
    from myownmesh.simulator import Node

SETTLED_S = 200.0
"""The room's announces came round, and the passes behind them."""
BODY = msgspec.Raw(b'"hi"')


def room_of(world: World, count: int, make: str) -> tuple[list[Node], TopologyMode]:
    identities = world.identities(count)
    ids = [each.device_id for each in identities]
    mode: TopologyMode = {
        "ring": Ring(),
        "ring of two": Ring(2),
        "star": Star(ids[count // 2]),
        "hubs": Hubs((ids[0], ids[count // 2], ids[-1])),
        "one home": Hubs((ids[1], ids[-2]), 1),
        "full mesh": FullMesh(),
    }[make]
    return [world.node(each, EngineConfig(auto_approve=True, topology=mode)) for each in identities], mode


def links(nodes: list[Node]) -> set[frozenset[str]]:
    """Pairs with a session, seen from either end."""
    return {
        frozenset({one.device_id, other.device_id})
        for one, other in combinations(nodes, 2)
        if one.session_to(other) is not None and other.session_to(one) is not None
    }


def wanted(nodes: list[Node], mode: TopologyMode) -> set[frozenset[str]]:
    shape, members = shape_of(mode), Members(node.device_id for node in nodes)
    return {frozenset({one, other}) for one, other in combinations(members, 2) if shape.edge(one, other, members)}


SHAPES = ["ring", "ring of two", "star", "hubs", "one home"]


@pytest.mark.parametrize("make", SHAPES)
def test_a_room_takes_its_shape_and_keeps_it(make: str) -> None:
    world = World()
    nodes, mode = room_of(world, 12, make)
    world.run(SETTLED_S)
    assert links(nodes) == wanted(nodes, mode)
    for node in nodes:
        node.events.clear()
    world.run(600.0)
    assert links(nodes) == wanted(nodes, mode)
    assert not [event for node in nodes for event in node.heard(PeerDropped)], "nothing flaps"


@pytest.mark.parametrize("make", SHAPES)
def test_a_broadcast_reaches_everybody_once_and_a_directed_frame_its_destination(make: str) -> None:
    world = World()
    nodes, mode = room_of(world, 12, make)
    world.run(SETTLED_S)
    heard = {node.device_id: listen(node, "chat") for node in nodes}
    for node in nodes:
        node.switch.broadcast("chat", BODY, lambda _: None)
    world.run(1.0)
    for node in nodes:
        others = sorted(other.device_id for other in nodes if other is not node)
        assert sorted(sender for sender, _ in heard[node.device_id]) == others
        heard[node.device_id].clear()
    for one, other in combinations(nodes, 2):
        assert one.send(other, Channel("chat", BODY)).error is None
    world.run(1.0)
    missing = [
        (one.identity.label, other.identity.label)
        for one, other in combinations(nodes, 2)
        if (one.device_id, bytes(BODY)) not in heard[other.device_id]
    ]
    # Greedy steps on a ring of unlike ids may end in a dead end: the reference's rule, which all members must share.
    dead_ends = [
        (one.identity.label, other.identity.label)
        for one, other in combinations(nodes, 2)
        if make.startswith("ring") and not is_on_a_way(nodes, mode, one, other)
    ]
    assert missing == dead_ends
    assert len(missing) < len(nodes) * (len(nodes) - 1) / 2, "some are reached that no link leads to"


def is_on_a_way(nodes: list[Node], mode: TopologyMode, one: Node, other: Node) -> bool:
    """Whether each member's next hop leads there; one that would have to give the frame back, or sees it again, drops
    it."""
    shape, by_id = shape_of(mode), {node.device_id: node for node in nodes}
    at, seen = one.device_id, {one.device_id}
    while True:
        linked = [peer.device_id for peer in by_id[at].engine.core.live_peers()]
        if other.device_id in linked:
            return True
        [at] = shape.next_hops(at, other.device_id, linked)
        if at in seen:
            return False
        seen.add(at)


def test_the_shape_of_a_living_room_changes_and_changes_back() -> None:
    world = World()
    nodes, _ = room_of(world, 8, "full mesh")
    world.run_until(world.all_linked, within=30.0)
    star = Star(nodes[3].device_id)
    for node in nodes:
        node.switch.set_topology(star)
    took = world.run_until(lambda: links(nodes) == wanted(nodes, star), within=10.0)
    assert took < 5.0
    for node in nodes:
        node.switch.set_topology(FullMesh())
    world.run_until(world.all_linked, within=10.0)


def test_the_ring_closes_behind_whoever_leaves() -> None:
    world = World()
    nodes, mode = room_of(world, 10, "ring of two")
    world.run(SETTLED_S)
    nodes[4].leave()
    rest = [node for node in nodes if node is not nodes[4]]
    world.run_until(lambda: links(rest) == wanted(rest, mode), within=10.0)


def test_a_star_without_its_hub_has_no_links_and_gets_them_when_it_comes() -> None:
    world = World()
    identities = world.identities(6)
    mode = Star(identities[2].device_id)
    config = EngineConfig(auto_approve=True, topology=mode)
    spokes = [world.node(each, config) for each in identities if each is not identities[2]]
    world.run(60.0)
    assert links(spokes) == set()
    hub = world.node(identities[2], config)
    world.run_until(lambda: len(links([*spokes, hub])) == len(spokes), within=5.0)


def test_a_device_of_the_old_shape_among_others_does_no_harm() -> None:
    """One still keeps a full mesh: it dials everybody, is answered and shelved, and nothing flaps."""
    world = World()
    nodes, mode = room_of(world, 8, "star")
    world.run(SETTLED_S)
    nodes[0].switch.set_topology(FullMesh())
    world.run(SETTLED_S)
    for node in nodes:
        node.events.clear()
    world.run(300.0)
    assert not [event for node in nodes for event in node.heard(PeerDropped)]
    rest = nodes[1:]
    assert links(rest) == wanted(rest, mode)
