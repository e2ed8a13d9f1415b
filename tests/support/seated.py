"""Simulated devices that start with what their disks hold of a closed network, or with what is left of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from myownmesh.engine import EngineConfig
from myownmesh.governance.adoption import hear_log
from myownmesh.governance.book import Book
from myownmesh.governance.hearing import hear_entries
from myownmesh.governance.log import heard
from myownmesh.governance.pins import Pin
from myownmesh.governance.rules import STRICT
from myownmesh.governance.saved import load_book, pin_of, state_of
from myownmesh.governance.signatures import Checks, finish
from myownmesh.governance.state_file import read_state, write_state
from myownmesh.governance.words import OURSELVES
from myownmesh.protocol.transitions import KindChange, RoleGrant
from myownmesh.roster import Roster
from myownmesh.simulator.minds import OldNode
from myownmesh.simulator.node import NETWORK, Node
from myownmesh.simulator.reference_governance import ReferenceGovernance, signed_entry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from myownmesh.identity import Identity
    from myownmesh.protocol.frames import Role
    from myownmesh.protocol.transitions import Transition
    from myownmesh.simulator import World

CHECKS = Checks(NETWORK)


def seats(founder: Identity, roles: Sequence[tuple[Identity, Role]] = (), *, at: int) -> tuple[Transition, ...]:
    """A governance log: the founding, and who got which role by the founder."""
    given = [signed_entry(NETWORK, founder, RoleGrant(each.device_id, role), at) for each, role in roles]
    return (signed_entry(NETWORK, founder, KindChange("closed"), at), *given)


def admits(founder: Identity, members: Sequence[Identity], *, at: int) -> list[Transition]:
    return [signed_entry(NETWORK, founder, RoleGrant(each.device_id, "member"), at) for each in members]


def book_of(me: Identity, log: Sequence[Transition], members: Sequence[Transition], now: int) -> Book:
    """What a device holds that has these logs from its own disk."""
    whole = finish(heard(log, CHECKS, STRICT))
    book = hear_log(Book(NETWORK, me.device_id, Pin(NETWORK).on(whole)), whole, OURSELVES, now).book
    return hear_entries(book, members, OURSELVES, CHECKS, now, max_checks=1000).book


def start(world: World, me: Identity, held: Book, *, state_lost: bool = False) -> Node:
    """A process with what a save of the book leaves on the disk; without its state file, if that was lost."""
    roster = Roster(NETWORK).mirror(held.bench.roles(), (), 0, me=me.device_id)
    node = Node(world, me, EngineConfig(kind="closed"), roster)
    state = None if state_lost else read_state(b"".join(write_state(state_of(held))))
    now = node.now().wall_ms // 1000
    loaded = finish(load_book(NETWORK, me.device_id, "closed", state, pin_of(held), CHECKS, now, STRICT))
    assert not loaded.faults
    node.engine.governor.begin(loaded.book, (), node.now())
    world.nodes.append(node)
    node.start()
    return node


def start_old(world: World, me: Identity, log: Sequence[Transition], members: Sequence[Transition]) -> OldNode:
    """A device that runs v0.3.8, with these logs."""
    mind = ReferenceGovernance(NETWORK, me)
    mind.take(log, members)
    node = OldNode(world, me, EngineConfig(auto_approve=True), mind)
    world.nodes.append(node)
    node.start()
    return node
