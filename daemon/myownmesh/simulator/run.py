"""One run of a plan: the devices meet, things go wrong, everything is mended, and all the while the invariants hold."""

from __future__ import annotations

import gc
import time
import traceback
from collections import deque
from itertools import count
from typing import TYPE_CHECKING, Final

from attrs import field, frozen
from msgspec import UNSET

from myownmesh.protocol.ids import short_id
from myownmesh.protocol.signals import Announce
from myownmesh.simulator.cast import Cast
from myownmesh.simulator.etiquette import most_in_peace
from myownmesh.simulator.invariants import check_node, check_peace, check_stopped
from myownmesh.simulator.traffic import Traffic
from myownmesh.simulator.trouble import Troubles
from myownmesh.simulator.violation import Violation
from myownmesh.simulator.world import World

if TYPE_CHECKING:
    from collections.abc import Collection

    from mesh_common.events import ConnTrace
    from myownmesh.simulator.node import Node
    from myownmesh.simulator.plan import Plan

LOOK_EVERY_S: Final = 5.0
LOOKED_AT: Final = 4
"""Processes of which each look sees at most, one after another; in the end all are looked at."""
SEEN: Final = 200
"""Peers of which a look sees, by as many processes as know so many together: one at least."""
PEACE_S: Final = 240.0
"""What a link may take when nothing goes wrong any more: two announces, of which the second is due in 138 s."""
SETTLED_S: Final = 5.0
"""Two passes over the shape."""
TRACED: Final = 60
RARELY: Final = (100_000, 50, 1000)
"""How often the collector looks: hardly anything here refers to itself, and there is much of it."""


@frozen
class Result:
    """How a run went."""

    plan: Plan
    took_s: float
    frames: int
    signals: int
    announces_per_hour: float
    acknowledged: int
    violation: str | None = None
    nodes: tuple[str, ...] = ()
    at_s: float = 0.0
    happened: tuple[str, ...] = ()
    """The last troubles before a violation."""
    traces: tuple[str, ...] = field(default=())
    """The last changes of the links of the nodes involved."""


class Run:
    """A plan under way. `traced` names devices whose links are followed."""

    def __init__(self, plan: Plan, traced: Collection[str] = ()) -> None:
        self.plan = plan
        self.world = World(plan.seed)
        identities = self.world.identities(plan.nodes)
        ids = [identity.device_id for identity in identities]
        plan.conditions.lay_out(self.world, ids)
        self.cast = Cast(self.world, identities, plan.config(ids))
        self.troubles = Troubles(self.cast, plan.trouble, plan.conditions)
        self.traffic = Traffic(self.cast)
        self._traced = frozenset(traced)
        self._traces: deque[str] = deque(maxlen=TRACED)
        self._turn = count()
        self.cast.on_start.append(self._follow)

    def go(self) -> Result:
        """Run to the end, or to the first violation."""
        began = time.perf_counter()
        violation: Violation | None = None
        try:
            self._play()
        except Violation as error:
            violation = error
        except Exception as error:  # noqa: BLE001 - a bug is what we look for, and it is told with the command
            violation = Violation("".join(traceback.format_exception(error)), ())
        hours = max(self.world.clock.seconds / 3600, 1e-9)
        return Result(
            self.plan,
            time.perf_counter() - began,
            self.world.wire.frames,
            sum(self.world.room.counts.values()),
            self.world.room.count(Announce) / self.plan.nodes / hours,
            self.traffic.acknowledged,
            None if violation is None else str(violation),
            () if violation is None else violation.nodes,
            self.world.clock.seconds,
            tuple(self.troubles.log[-12:]) if violation else (),
            tuple(self._traces),
        )

    # ── inside ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _play(self) -> None:
        world = self.world
        for device_id in self.cast.identities:
            self.cast.start(device_id)
        self.traffic.begin()
        self.troubles.begin()
        self._look()
        peace_s = min(PEACE_S, self.plan.seconds / 2)
        world.run(max(0.0, self.plan.seconds - peace_s))
        self.troubles.end()
        self.traffic.end()
        world.run(peace_s)
        nodes = self.cast.running()
        for node in nodes:
            check_node(node)
        if self.plan.kind == "open" and (self.plan.trouble == "none" or peace_s == PEACE_S):
            self._check_peace(nodes)
        if self.plan.trouble == "none" and self.plan.hours >= 1:
            self._check_etiquette()
        for node in nodes:
            node.leave()
        world.run(1.0)
        for node in nodes:
            check_stopped(node)

    def _check_peace(self, nodes: list[Node]) -> None:
        """Some frame is always on its way: somebody is forgotten in the room, and a ring closes behind it. So both ends
        may disagree for a moment, and not for longer."""
        try:
            check_peace(nodes, self.world.can_meet)
        except Violation:
            self.world.run(SETTLED_S)
            check_peace(nodes, self.world.can_meet)

    def _check_etiquette(self) -> None:
        room = self.world.room
        for node in self.cast.running():
            said = room.count(Announce, node.device_id)
            most = most_in_peace(self.plan.hours, self.plan.nodes)
            if said > most:
                raise Violation(f"{said} announces, at most {most:.0f}", (node.device_id,))

    def _look(self) -> None:
        running = self.cast.running()
        for _ in range(min(LOOKED_AT, len(running), max(1, SEEN // len(self.cast.nodes)))):
            check_node(running[next(self._turn) % len(running)])
        self.world.clock.after(LOOK_EVERY_S, self._look)

    def _follow(self, node: Node) -> None:
        if node.device_id in self._traced:
            node.switch.trace(lambda record: self._traces.append(_line(node, record)))


def _line(node: Node, record: ConnTrace) -> str:
    states = (record.status, record.tier, record.ice_state, record.pc_state)
    words = [
        *(str(state) for state in states if state is not UNSET),
        *([] if record.why is UNSET else [record.why.code]),
    ]
    return (
        f"{record.t_mono_ms / 1000:.3f} {short_id(node.device_id)} sees {short_id(record.device_id)}"
        f" {','.join(record.changed)}: {' '.join(words)}"
    )


def run(plan: Plan) -> Result:
    """Run a plan. One that fails is run once more, so that its result has the traces of the nodes involved."""
    gc.set_threshold(*RARELY)
    result = Run(plan).go()
    if result.violation is None:
        return result
    return Run(plan, traced=result.nodes).go()
