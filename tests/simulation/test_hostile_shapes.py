"""Shaped networks with a member that abuses them: honest devices keep their links, frames come once, memory is flat."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msgspec import Raw

from myownmesh.engine import EngineConfig
from myownmesh.mesh.errors import MeshError
from myownmesh.protocol.codec import encode_frame
from myownmesh.protocol.envelopes import Routed, wrapped
from myownmesh.protocol.frames import ChannelSeq, Shelve, Unshelve
from myownmesh.protocol.modes import FullMesh, Hubs, Star
from myownmesh.simulator import World
from myownmesh.simulator.invariants import check_node
from myownmesh.topology.hubs import MAX_HUBS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from myownmesh.protocol.modes import TopologyMode
    from myownmesh.simulator import Node

CHANNEL = "c"
BODY = Raw(b"1")


def room(world: World, modes: Sequence[TopologyMode]) -> list[Node]:
    """Devices in the order of their ids, each with a shape of its own."""
    ids = world.identities(len(modes))
    nodes = [
        world.node(identity, EngineConfig(auto_approve=True, topology=mode))
        for identity, mode in zip(ids, modes, strict=True)
    ]
    world.run(30.0)
    return nodes


def listen(nodes: Sequence[Node]) -> dict[str, list[str]]:
    """From whom each device hears."""
    heard: dict[str, list[str]] = {node.device_id: [] for node in nodes}
    for node in nodes:
        node.switch.channels.listen(CHANNEL, lambda peer, _body, mine=heard[node.device_id]: mine.append(peer))
    return heard


def hubs(world: World, count: int) -> Hubs:
    """The first two ids are hubs; the same seed gives the same ids."""
    first, second, *_ = World(world.sources.seed).identities(count)
    return Hubs((first.device_id, second.device_id), 2)


@pytest.mark.parametrize("shape", ["full_mesh", "hubs"])
def test_a_member_that_shelves_and_unshelves_without_end(shape: str) -> None:
    world = World(11)
    mode: TopologyMode = FullMesh() if shape == "full_mesh" else hubs(world, 4)
    one, other, honest, hostile = room(world, [mode] * 4)
    bounds = one.engine.census()
    for number in range(6000):
        if (session := hostile.session_to(one)) is None or not session.channel:
            break
        hostile.send_raw(one, encode_frame(Unshelve() if number % 2 else Shelve(reason="x" * 1000)))
        world.run(0.0005)
        if number % 500 == 0:
            check_node(one)
            assert one.is_linked(other)
            assert one.is_linked(honest)
    assert "transport_error" in one.drops(), "so much is an attack"
    world.run(120.0)
    after = one.engine.census()
    for before, now in zip(bounds.counts, after.counts, strict=True):
        assert now.found <= before.found + 8, now.what


def test_slow_flapping_costs_a_member_nothing_but_its_own_broadcasts() -> None:
    world = World(12)
    one, other, hostile = room(world, [FullMesh()] * 3)
    heard = listen([one, other, hostile])
    for number in range(600):
        hostile.send_raw(one, encode_frame(Unshelve() if number % 2 else Shelve(reason="")))
        world.run(1.0)
    assert one.drops() == other.drops() == []
    one.switch.broadcast(CHANNEL, BODY, lambda _reached: None)
    world.run(1.0)
    assert heard[other.device_id] == [one.device_id]


def test_a_hub_that_drops_what_it_should_pass_on_silences_nobody() -> None:
    """It is a hub to the others, and takes the network for a full mesh itself. Floods go over the other hub."""
    world = World(13)
    mode = hubs(world, 5)
    nodes = room(world, [FullMesh(), mode, mode, mode, mode])
    _dropper, _hub, first, second, third = nodes
    heard = listen(nodes)
    first.switch.broadcast(CHANNEL, BODY, lambda _reached: None)
    world.run(1.0)
    assert all(heard[each.device_id] == [first.device_id] for each in (second, third))
    for node in nodes:
        check_node(node)


def test_a_hub_that_repeats_what_it_passes_on_is_heard_once() -> None:
    world = World(14)
    mode = hubs(world, 5)
    nodes = room(world, [mode] * 5)
    hub, other, first, second, third = nodes
    heard = listen(nodes)
    frame = encode_frame(wrapped(Routed("", first.device_id, CHANNEL, BODY, 4, 77)))
    for _ in range(50):
        for spoke in (second, third, other):
            hub.send_raw(spoke, frame)
    world.run(1.0)
    assert [heard[each.device_id] for each in (second, third, other)] == [[first.device_id]] * 3
    assert world.all_linked([hub, other])


@pytest.mark.parametrize("where", ["channel", "channel_seq", "inside"])
def test_envelopes_of_every_kind_reach_nobody_who_should_not_have_them(where: str) -> None:
    world = World(15)
    mode = hubs(world, 4)
    nodes = room(world, [mode] * 4)
    hub, _other, victim, bystander = nodes
    heard = listen(nodes)
    number = 0
    for source in ("", "é" * 52, "b" * 52, victim.device_id, "x" * 500):
        for destination in ("é", "c" * 52, hub.device_id, "x" * 500):
            for ttl in (0, 2**64 - 1):
                for frame_id in (0, 5, 2**64 - 1):
                    number += 1
                    envelope = wrapped(Routed(destination, source, CHANNEL, BODY, ttl, frame_id))
                    if where == "inside":
                        envelope = wrapped(Routed("", "", envelope.channel, envelope.payload, 4, number))
                    if where == "channel_seq":
                        hub.send_raw(victim, encode_frame(ChannelSeq(9, number, envelope.channel, envelope.payload)))
                    else:
                        hub.send_raw(victim, encode_frame(envelope))
                    world.run(0.05)
    assert all(from_whom == [] for from_whom in heard.values())
    for node in (victim, bystander):
        check_node(node)
        assert node.drops() == []


@pytest.mark.parametrize(
    "mode",
    [
        Star(""),
        Star("nobody"),
        Hubs((), 2),
        Hubs(("", ""), 2),
        Hubs(("b" * 52,) * 1000, 3),
        Hubs(tuple(f"hub {number}" for number in range(MAX_HUBS)), 2**31),
    ],
    ids=["star of none", "star of a stranger", "no hubs", "empty hubs", "one hub a thousand times", "strangers"],
)
def test_shapes_that_name_nobody_who_is_there(mode: TopologyMode) -> None:
    """Then nobody is wanted linked, which is what was asked for; and the way back is open."""
    world = World(16)
    nodes = room(world, [FullMesh()] * 3)
    for node in nodes:
        node.switch.set_topology(mode)
    world.run(60.0)
    for node in nodes:
        check_node(node)
        node.switch.set_topology(FullMesh())
    world.run_until(world.all_linked, within=10.0)


def test_a_hundred_thousand_hubs_are_refused_in_a_sentence() -> None:
    world = World(17)
    one, other = room(world, [FullMesh()] * 2)
    with pytest.raises(MeshError, match=str(MAX_HUBS)):
        one.switch.set_topology(Hubs(tuple(f"hub {number}" for number in range(100_000)), 2))
    world.run(5.0)
    assert one.is_linked(other)
