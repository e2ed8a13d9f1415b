"""Closed networks of simulated devices: eviction, re-admission, partitions (spec 02 §14, §15; 24.3)."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec
import pytest

from mesh_common.events import PeerDropped
from myownmesh.engine import EngineConfig
from myownmesh.governance.authoring import Refused
from myownmesh.mesh.errors import MeshError
from myownmesh.mesh.rpc import NETWORK_DOWN
from myownmesh.protocol.frames import Channel
from myownmesh.simulator import World
from simulation.test_meeting import listen
from simulation.test_reliable import send
from support.examples import few
from support.governed import book, evict, founded, grant

if TYPE_CHECKING:
    from myownmesh.simulator import Node

BODY = msgspec.Raw(b'"hi"')
LINKED_S = 60.0


def closed_network(world: World, count: int) -> list[Node]:
    """Devices that are linked in a network that the first one has founded, everybody signed in; by their ids."""
    nodes = [world.node(each, EngineConfig(auto_approve=True)) for each in world.identities(count)]
    world.run_until(world.all_linked, LINKED_S)
    founded(world, nodes[0], nodes[1:])
    return nodes


@pytest.mark.parametrize("place", [1, 3], ids=["with a lower id than another", "with the highest id"])
def test_an_evicted_device_hears_it_stands_down_and_comes_back_when_it_is_signed_in_again(place: int) -> None:
    world = World()
    nodes = closed_network(world, 4)
    owner, out = nodes[0], nodes[place]
    members = [node for node in nodes if node is not out]
    heard = {node.device_id: listen(node, "chat") for node in nodes}
    errors: list[str | None] = []
    evict(owner, out)
    world.run_until(lambda: out.engine.governor.is_down, 2.0)
    world.run_until(lambda: not any(node.is_linked(out) for node in members), 2.0)
    for node in members:
        dropped = [event.reason.kind for event in node.heard(PeerDropped) if event.device_id == out.device_id]
        assert dropped == ["denied"], "once, and for this reason"
        assert out.device_id not in node.engine.roster.ids
        with pytest.raises(MeshError):
            node.switch.send(out.device_id, Channel("chat", BODY), errors.append)

    # Nobody dials it, and it nobody; nothing of it is delivered, nor to it.
    world.run(600.0)
    assert not any(node.is_linked(out) for node in members)
    owner.switch.broadcast("chat", BODY, lambda _: None)
    world.run(1.0)
    assert heard[out.device_id] == []
    assert all(len(heard[node.device_id]) == 1 for node in members if node is not owner)

    grant(owner, out)
    world.run_until(lambda: all(node.is_linked(out) and out.is_linked(node) for node in members), 720.0)
    world.run_until(lambda: not out.engine.governor.is_down, 5.0)
    assert book(out).role(out.device_id) == "member"


@pytest.mark.parametrize("linked", [True, False], ids=["over its link", "while it was away"])
def test_what_waits_for_a_device_that_is_put_out_fails_with_that_reason_and_nothing_more_is_taken_for_it(
    linked: bool,
) -> None:
    world = World()
    owner, out, member = closed_network(world, 3)
    sender, call = owner, None
    if linked:
        out.switch.rpc.serve("slow", lambda _: None, streaming=False)
        call = owner.call(out, "slow", BODY)
    else:
        for node in (owner, member):
            world.cut(out, node)
        world.run_until(lambda: not member.is_linked(out), 300.0)
        sender = member
    waits = send(sender, out, 1)
    evict(owner, out)
    world.run_until(waits.is_there, 10.0)
    assert waits.error is not None
    assert waits.error.endswith("abandoned: Denied")
    if call is not None:
        assert (call.is_there(), call.error) == (True, NETWORK_DOWN)
    with pytest.raises(MeshError, match="abandoned: Denied"):
        send(sender, out, 2)


def test_who_is_evicted_while_away_hears_it_at_its_next_handshake() -> None:
    world = World()
    nodes = closed_network(world, 3)
    owner, away, member = nodes
    for other in (owner, member):
        world.cut(away, other)
    world.run_until(lambda: not any(node.is_linked(away) for node in (owner, member)), 200.0)
    evict(owner, away)
    world.run(30.0)
    assert not away.engine.governor.is_down
    world.heal(away, member)
    world.run_until(lambda: away.engine.governor.is_down, 300.0)
    assert not member.is_linked(away)


def test_what_partitions_decided_apart_is_one_when_they_meet() -> None:
    world = World()
    nodes = closed_network(world, 6)
    owner, controller = nodes[0], nodes[3]
    grant(owner, controller, "controller")
    world.run_until(lambda: all(book(node).role(controller.device_id) == "controller" for node in nodes), 30.0)
    left, right = nodes[:3], nodes[3:]
    for one in left:
        for other in right:
            world.cut(one, other)
    world.run_until(lambda: not any(one.is_linked(other) for one in left for other in right), 300.0)
    evict(owner, left[2])
    evict(controller, right[2])
    world.run(60.0)
    for one in left:
        for other in right:
            world.heal(one, other)
    rest = [*left[:2], *right[:2]]
    out = {left[2].device_id, right[2].device_id}
    world.run_until(lambda: all(set(book(node).bench.removed()) == out for node in rest), 300.0)
    world.run_until(lambda: all(node.engine.governor.is_down for node in (left[2], right[2])), 300.0)
    assert len({book(node).log.digest for node in rest}) == 1
    assert len({book(node).members.digests() for node in rest}) == 1


@pytest.mark.parametrize("seed", few([1, 2], every=2))
def test_authorities_that_decide_in_partitions_agree_or_ask_after_healing(seed: int) -> None:
    world = World(seed)
    nodes = closed_network(world, 9)
    owner, *others = nodes
    second, controller, rival = others[:3]
    for node, role in ((second, "owner"), (controller, "controller"), (rival, "controller")):
        grant(owner, node, role)  # type: ignore[arg-type]  # one of the words
    world.run_until(lambda: all(len(book(node).standing.roles) == 4 for node in nodes), 60.0)
    authorities = [owner, second, controller, rival]
    for _ in range(3):
        left = {node for node in nodes if world.rng.random() < 0.5}
        apart = [(one, other) for one in left for other in nodes if other not in left]
        for one, other in apart:
            world.cut(one, other)
        world.run(world.rng.uniform(1.0, 40.0))
        for _ in range(4):
            author, target = world.rng.choice(authorities), world.rng.choice(nodes[2:])
            with suppress(Refused):
                if world.rng.random() < 0.5:
                    evict(author, target)
                else:
                    grant(author, target, world.rng.choice(["member", "controller"]))
            world.run(world.rng.uniform(0.0, 3.0))
        for one, other in apart:
            world.heal(one, other)
        world.run(200.0)
    world.run(60.0)
    # Everybody is linked by now who belongs there; whoever is out knows no more than at its end.
    inside = [node for node in nodes if not book(owner).is_evicted(node.device_id)]
    world.run_until(lambda: _agree(inside) or all(book(node).questions.rivals for node in inside), 120.0)
    for node in inside:
        for other in nodes:
            assert not (book(node).is_evicted(other.device_id) and node.is_linked(other))


def _agree(nodes: list[Node]) -> bool:
    return len({book(node).log.digest for node in nodes}) == len({_verdicts(node, nodes) for node in nodes}) == 1


def _verdicts(node: Node, nodes: list[Node]) -> tuple[object, ...]:
    return tuple((book(node).role(other.device_id), book(node).is_evicted(other.device_id)) for other in nodes)
