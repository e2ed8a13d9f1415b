"""Everything goes wrong at once; a seed that fails replays. When the trouble ends, everybody is linked."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from myownmesh.engine import EngineConfig
from myownmesh.protocol.signals import Announce, Leave, SendAnswer, SendCandidate, SendOffer
from myownmesh.simulator import Faults, World
from support.examples import few

if TYPE_CHECKING:
    from myownmesh.identity import Identity
    from myownmesh.simulator import Node


class Trouble:
    """A mesh of four devices, and what happens to it."""

    def __init__(self, seed: int) -> None:
        self.world = World(seed)
        self.rng = random.Random(seed)
        self.faults = Faults(
            drop=self.rng.choice([0.0, 0.1, 0.3]),
            duplicate=self.rng.choice([0.0, 0.3]),
            delay=(0.0, self.rng.choice([0.01, 0.3, 2.0])),
        )
        self.world.disturb(Announce, SendOffer, SendAnswer, SendCandidate, Leave, faults=self.faults)
        self.config = EngineConfig(auto_approve=True, immediate_leave=self.rng.random() < 0.3)
        self.identities = self.world.identities(4)
        self.running: dict[str, Node] = {}

    def strike(self) -> None:
        """One blow, after a while."""
        self.world.run(self.rng.uniform(0.0, 15.0))
        identity = self.rng.choice(self.identities)
        node = self.running.get(identity.device_id)
        if node is None:
            self.start(identity)
            return
        other = self.running.get(self.rng.choice(self.identities).device_id)
        blow = self.rng.choice(["kill", "restart", "leave", "cut", "reconnect", "connect", "pin", "remove"])
        match blow:
            case "kill" | "restart":
                self.running.pop(identity.device_id).kill()
                if blow == "restart":
                    self.start(identity)
            case "leave":
                self.running.pop(identity.device_id).leave()
            case "reconnect":
                node.reconnect()
            case _ if other is not None and other is not node:
                self.strike_pair(blow, node, other)
            case _:
                pass

    def strike_pair(self, blow: str, node: Node, other: Node) -> None:
        match blow:
            case "cut":
                self.world.cut(node, other)
                self.world.clock.after(self.rng.uniform(1.0, 100.0), lambda: self.world.heal(node, other))
            case "connect":
                node.connect(other)
            case "pin":
                node.connect(other, pin=True)
            case "remove":
                node.remove(other)

    def start(self, identity: Identity) -> None:
        self.running[identity.device_id] = self.world.node(identity, self.config)

    def all_linked(self) -> bool:
        return self.world.all_linked(self.running.values())


@pytest.mark.parametrize("seed", few(range(25), every=5))
def test_trouble_ends_in_a_full_mesh(seed: int) -> None:
    trouble = Trouble(seed)
    for _ in range(40):
        trouble.strike()
    for identity in trouble.identities:
        if identity.device_id not in trouble.running:
            trouble.start(identity)
    trouble.world.run(120.0)
    trouble.world.run_until(trouble.all_linked, within=600.0)
    trouble.world.run(400.0)
    if trouble.faults.drop == 0.0:
        assert trouble.all_linked(), "the mesh fell apart without a cause"
