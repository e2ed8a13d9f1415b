"""What a run is: how many devices, for how long, in which shape, with which trouble."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final, Literal

from attrs import field, frozen

from myownmesh.engine import EngineConfig
from myownmesh.protocol.modes import FullMesh, Hubs, Ring, Star
from myownmesh.simulator.conditions import Conditions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from myownmesh.protocol.modes import TopologyMode

SHAPES: Final = ("full_mesh", "ring", "star", "hubs")
KINDS: Final = ("open", "silent")
TROUBLES: Final = ("none", "mild", "wild")

SILENT_SHARE: Final = 0.2
"""Of the plans that are drawn: little happens there."""

Trouble = Literal["none", "mild", "wild"]


@frozen
class Plan:
    """Everything that decides a run, and so the command that repeats it."""

    nodes: int = 10
    hours: float = 0.25
    shape: str = "full_mesh"
    kind: Literal["open", "silent"] = "open"
    trouble: Trouble = "none"
    seed: int = 1
    conditions: Conditions = field(factory=Conditions)

    @property
    def seconds(self) -> float:
        return self.hours * 3600.0

    def command(self) -> str:
        """What a person types to see this run again."""
        return (
            f"python -m myownmesh.simulator --nodes {self.nodes} --hours {self.hours:g} --shape {self.shape}"
            f" --kind {self.kind} --trouble {self.trouble} --seed {self.seed}{self.conditions.options()}"
        )

    @classmethod
    def drawn(cls, seed: int) -> Plan:
        """A quarter of an hour of wild trouble in which the seed decides everything else, too."""
        rng = random.Random(f"plan {seed}")
        return cls(
            nodes=rng.randint(2, 12),
            shape=rng.choice(SHAPES),
            kind="silent" if rng.random() < SILENT_SHARE else "open",
            trouble="wild",
            seed=seed,
            conditions=Conditions.drawn(rng),
        )

    def config(self, ids: Sequence[str]) -> EngineConfig:
        """Everybody is let in; hubs are the first ids."""
        return EngineConfig(auto_approve=True, kind=self.kind, topology=self._topology(ids))

    def _topology(self, ids: Sequence[str]) -> TopologyMode:
        match self.shape:
            case "ring":
                return Ring()
            case "star":
                return Star(hub=ids[0])
            case "hubs":
                return Hubs(hubs=tuple(ids[: max(2, len(ids) // 25)]))
            case _:
                return FullMesh()
