"""What a signed log of ten thousand devices costs: a verdict, one more entry, a joiner, a member that lacks one.

    python benchmarks/bench_governance_sync.py [ENTRIES]

Two devices of the simulator, with the daemon's own switch and codec, on a virtual clock. Every call of a switch is
taken in CPU time: that long it holds the loop. Beside them stands what libsodium needs for as many checks in one run.
What exists before is frozen, as a daemon does when it has started: the collector looks at what came since.
"""

from __future__ import annotations

import gc
import sys
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from attrs import define, field

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from bench_governance import admits, bare_checks
from myownmesh.engine import EngineConfig
from myownmesh.governance.hearing import hear_entries
from myownmesh.governance.signatures import Checks
from myownmesh.governance.words import OURSELVES
from myownmesh.identity import Identity
from myownmesh.mesh.switch import Switch
from myownmesh.protocol.transitions import RoleGrant
from myownmesh.simulator import World
from myownmesh.simulator.node import NETWORK
from support.governed import book, founded, propose

if TYPE_CHECKING:
    from collections.abc import Callable

    from myownmesh.protocol.transitions import Transition
    from myownmesh.simulator import Node

ENTRIES = 10_000


@define
class Watch:
    """How long each call of a device's switch took, in CPU seconds, and how much came."""

    times: list[float] = field(factory=list)
    nbytes: int = 0

    def on(self, node: Node) -> None:
        """Watch its timers."""
        watched, handle = node.switch, Switch.handle_timer
        timed = self.timed(handle)

        def handle_timer(self: Switch) -> None:
            (timed if self is watched else handle)(self)

        Switch.handle_timer = handle_timer  # type: ignore[method-assign]  # a switch has no place for one of its own

    def timed(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any, **members: Any) -> Any:
            self.nbytes += sum(len(each) for each in args if isinstance(each, bytes))
            begun = time.process_time()
            try:
                return call(*args, **members)
            finally:
                self.times.append(time.process_time() - begun)

        return timed

    def clear(self) -> None:
        self.times.clear()
        self.nbytes = 0

    @property
    def p99_ms(self) -> float:
        return sorted(self.times)[int(len(self.times) * 0.99)] * 1e3

    def __str__(self) -> str:
        return f"{len(self.times)} calls, p99 {self.p99_ms:.1f} ms, longest {max(self.times) * 1e3:.1f} ms"


class Watched:
    """The wire, where what one device's sessions bring is watched."""

    def __init__(self, wire: Any, device_id: str, watch: Watch) -> None:
        self._wire, self._device_id, self._watch = wire, device_id, watch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._wire, name)

    def open(self, owner: str, **members: Any) -> Any:
        if owner == self._device_id:
            members |= {name: self._watch.timed(members[name]) for name in ("on_event", "on_frame")}
        return self._wire.open(owner, **members)


def with_entries(node: Node, entries: list[Transition]) -> None:
    """The device has these entries from its own disk."""
    held, rest = book(node), tuple(entries)
    checks = Checks(NETWORK)
    while rest:
        heard = hear_entries(held, rest, OURSELVES, checks, node.now().wall_ms // 1000, max_checks=1000)
        held, rest = heard.book, heard.rest
    about = [entry.variant.target for entry in entries]  # type: ignore[union-attr]  # grants
    node.switch.govern(lambda governor, now: governor.take(held, now, about))


def main() -> None:
    count = int(sys.argv[1]) if sys.argv[1:] else ENTRIES
    world = World()
    serving, hearing = Watch(), Watch()
    nodes = []
    for identity, watch in zip(world.identities(2), (serving, hearing), strict=True):
        world.wire = Watched(world.wire, identity.device_id, watch)  # type: ignore[assignment]  # it delegates
        nodes.append(world.node(identity, EngineConfig(auto_approve=True)))
        watch.on(nodes[-1])
    world.run_until(world.all_linked, 60.0)
    owner, member = nodes
    founded(world, owner, [member])
    entries = admits(count, owner.identity, NETWORK, owner.now().wall_ms // 1000)
    bare = bare_checks(entries, owner.identity, NETWORK)
    check_us = bare / count * 1e6
    print(f"bare libsodium check: {check_us:.0f} us")

    world.cut(owner, member)
    world.run(300.0)
    with_entries(owner, entries)
    world.run(5.0)
    serving.clear()
    hearing.clear()
    gc.collect()
    gc.freeze()
    world.heal(owner, member)
    begun = world.clock.seconds
    world.run_until(lambda: book(member).members.count >= count, 900.0)
    took = sum(hearing.times)
    print(f"a joiner has all {count:,}: {took / bare:.2f} x as many bare checks, {hearing.nbytes / 2**20:.1f} MiB")
    print(f"  hearing them: {hearing}")
    print(f"  serving them: {serving}")
    assert world.clock.seconds > begun
    world.run(120.0)

    begun_cpu = time.process_time()
    for _ in range(1000):
        book(member).is_evicted(entries[7].variant.target)  # type: ignore[union-attr]  # a grant
    verdict = (time.process_time() - begun_cpu) / 1000
    print(f"verdict at a handshake: {verdict * 1e6:.0f} us, {verdict / check_us * 1e6:.2f} checks")

    costs, sums = [], []
    for number in range(20):
        world.run(120.0)
        serving.clear()
        hearing.clear()
        device = Identity.from_seed(bytes([200, number]) * 16).device_id
        propose(owner, RoleGrant(device, "member"))
        world.run_until(lambda device=device: book(member).role(device) == "member", 10.0)  # type: ignore[misc]  # mypy knows no default of a lambda
        costs.append(max(hearing.times))
        sums.append(sum(hearing.times))
        nbytes = hearing.nbytes
    longest, whole = median(costs), median(sums)
    print(f"one new entry: {longest * 1e3:.2f} ms in its longest call, {longest / check_us * 1e6:.0f} checks")
    print(f"  {whole * 1e3:.2f} ms in all until it counts, {whole / check_us * 1e6:.0f} checks; serving it: {serving}")
    print(f"a member that lacks one gets {nbytes:,} bytes")


if __name__ == "__main__":
    main()
