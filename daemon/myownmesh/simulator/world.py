"""Clock, room, wire and nodes of one run."""

from __future__ import annotations

import random
from itertools import combinations
from typing import TYPE_CHECKING

from myownmesh.engine import EngineConfig
from myownmesh.identity import Identity
from myownmesh.simulator.clock import VirtualClock
from myownmesh.simulator.node import Node
from myownmesh.simulator.room import Room
from myownmesh.simulator.sources import Sources
from myownmesh.simulator.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from myownmesh.protocol.signals import OutboundSignal
    from myownmesh.roster import Roster
    from myownmesh.sealing.desk import Mode
    from myownmesh.simulator.room import Faults


class World:
    """`seed` decides everything that is not written in the test."""

    def __init__(self, seed: int = 1) -> None:
        self.rng = random.Random(seed)
        """Of the test itself; nodes, room and wire have sources of their own."""
        self.sources = Sources(seed)
        self.clock = VirtualClock()
        self.room = Room(self.clock, self.sources)
        self.wire = Wire(self.clock, self.sources)
        self.sealing: Mode | None = None
        """How devices that start from now on sign and seal; None: not at all, which costs nothing."""
        self.skews_ms: dict[str, int] = {}
        """By how much each device's clock is wrong."""
        self.nodes: list[Node] = []

    def identities(self, count: int) -> list[Identity]:
        """New devices in the order of their ids: the first one offers to all others."""
        made = [Identity.from_seed(self.rng.randbytes(32), f"device {number}") for number in range(count)]
        return sorted(made, key=lambda identity: identity.device_id)

    def node(self, identity: Identity, config: EngineConfig | None = None, *, roster: Roster | None = None) -> Node:
        """Start a device; without a config it lets everybody in."""
        node = Node(self, identity, config or EngineConfig(auto_approve=True), roster)
        self.nodes.append(node)
        node.start()
        return node

    def pair(self, config: EngineConfig | None = None) -> tuple[Node, Node]:
        """Two running devices; the first has the lower id."""
        low, high = self.identities(2)
        return self.node(low, config), self.node(high, config)

    def run(self, seconds: float) -> None:
        self.clock.run(seconds)

    def run_until(self, condition: Callable[[], bool], within: float) -> float:
        """Run until `condition`; returns the seconds that it took, and fails when it takes longer than `within`."""
        begin = self.clock.seconds
        assert self.clock.run(within, condition), f"not within {within} s"
        return self.clock.seconds - begin

    def all_linked(self, nodes: Iterable[Node] | None = None) -> bool:
        """Everybody who runs is active with everybody else who runs."""
        running = [node for node in (nodes or self.nodes) if node.running]
        return all(one.is_linked(other) and other.is_linked(one) for one, other in combinations(running, 2))

    def disturb(self, *kinds: type[OutboundSignal], faults: Faults) -> None:
        for kind in kinds:
            self.room.faults[kind] = faults

    def cut(self, one: Node, other: Node) -> None:
        """No packet passes between two devices any more; their signaling does."""
        self.wire.cut.add(frozenset({one.device_id, other.device_id}))
        self.wire.look(one.device_id, other.device_id)

    def can_meet(self, one: Node, other: Node) -> bool:
        """Whether these two find each other and a path, when nothing is wrong."""
        return self.wire.can_meet(one.device_id, other.device_id) and self.room.is_shared(
            one.device_id, other.device_id
        )

    def heal(self, one: Node, other: Node) -> None:
        self.wire.mend(frozenset({one.device_id, other.device_id}))
