"""The devices of a run: who runs, who is away, and how one comes back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from myownmesh.roster import Roster
from myownmesh.simulator.node import NETWORK

if TYPE_CHECKING:
    from collections.abc import Callable

    from myownmesh.engine import EngineConfig
    from myownmesh.identity import Identity
    from myownmesh.simulator.node import Node
    from myownmesh.simulator.world import World


class Cast:
    """By device id. `on_start` hears of every process that starts."""

    def __init__(self, world: World, identities: list[Identity], config: EngineConfig) -> None:
        self.world = world
        self.config = config
        self.identities = {identity.device_id: identity for identity in identities}
        self.nodes: dict[str, Node] = {}
        """The newest process of each device."""
        self.on_start: list[Callable[[Node], None]] = []

    def start(self, device_id: str, *, with_disk: bool = True) -> Node:
        """A process on the device, with what its last one had saved unless the disk was lost."""
        before = self.nodes.get(device_id)
        if before is not None and before in self.world.nodes:
            self.world.nodes.remove(before)
        roster = before.saved if before is not None and with_disk else Roster(NETWORK)
        node = self.nodes[device_id] = self.world.node(self.identities[device_id], self.config, roster=roster)
        for hear in self.on_start:
            hear(node)
        return node

    def running(self) -> list[Node]:
        """Those that run, neither frozen nor on their way out."""
        return [node for node in self.nodes.values() if node.running and not node.leaving and not self.is_frozen(node)]

    def is_frozen(self, node: Node) -> bool:
        return node.device_id in self.world.wire.frozen
