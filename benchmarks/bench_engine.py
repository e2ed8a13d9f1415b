"""What the engine and whole simulated networks cost, beside a fixed loop of the same run, and what each figure must be.

    python benchmarks/bench_engine.py [--runs] [--only TEXT]

The loop is plain Python of a fixed length; a figure divided by its time compares between machines and busy hours, which
absolute numbers do not. Times are those of the processor, so that other programs disturb them less. `--runs` adds the
large runs of the simulator, each in a process of its own, told in seconds of a core whose loop takes 13 ms, by loops in
the midst of the run; `--only` takes the rows whose name holds the text.
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import random
import resource
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from enum import Enum
from functools import partial
from itertools import chain, cycle, repeat
from pathlib import Path
from statistics import median
from types import ModuleType
from typing import TYPE_CHECKING, Final

import msgspec
from attrs import frozen

from myownmesh.engine import Engine, EngineConfig
from myownmesh.flight.tape import TapedEngine
from myownmesh.identity import Identity
from myownmesh.protocol.clock import Instant
from myownmesh.protocol.codec import encode_frame
from myownmesh.protocol.frames import Channel, RpcRequest
from myownmesh.protocol.modes import Hubs, Ring, Star
from myownmesh.protocol.signals import PeerAnnounced
from myownmesh.roster import Roster
from myownmesh.simulator.plan import Plan
from myownmesh.simulator.run import RARELY, Run
from myownmesh.simulator.world import World
from myownmesh.topology.members import Members
from myownmesh.topology.shapes import shape_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from myownmesh.protocol.modes import TopologyMode
    from myownmesh.simulator.clock import VirtualClock
    from myownmesh.simulator.node import Node

ROUNDS: Final = 7
NOW: Final = Instant(1.0, 1_700_000_000_000)
FRAME_US: Final = 10.0
KNOWN_ANNOUNCE_US: Final = 11.0
"""What a frame in and the announce of a known peer cost when the figures were set."""
CROWD: Final = 10_000
ANNOUNCE_EVERY_S: Final = 120.0
LOOP_S: Final = 0.013
"""What the loop took on the machine that the seconds of large runs were set for."""
LOOP_EVERY_S: Final = 150.0
"""Of virtual time."""


@frozen
class Row:
    """A figure: what was measured, what it must be at most, in which unit."""

    name: str
    found: float
    most: float
    unit: str
    note: str = ""

    def told(self) -> str:
        verdict = "pass" if self.found <= self.most else "MISS"
        return f"{self.name:46} {self.found:>11,.2f} {self.most:>9,.2f} {self.unit:4} {verdict}  {self.note}".rstrip()


def yardstick() -> float:
    """Seconds of a fixed loop over dicts, texts and small objects, as the engine is."""
    began = time.process_time()
    seen: dict[str, tuple[int, str]] = {}
    for number in range(60_000):
        key = f"peer {number % 997}"
        seen[key] = (number, key.upper())
        if number % 3 == 0:
            seen.pop(key, None)
    return time.process_time() - began


def best(act: Callable[[], object], number: int) -> float:
    """Microseconds of one call, of the best round."""
    found = float("inf")
    for _ in range(ROUNDS):
        began = time.process_time()
        for _ in range(number):
            act()
        found = min(found, (time.process_time() - began) / number)
    return found * 1e6


def _once(act: Callable[[], object], number: int = 1_000) -> float:
    """Microseconds of one call."""
    began = time.process_time()
    for _ in range(number):
        act()
    return (time.process_time() - began) / number * 1e6


def linked(kind: type[Engine]) -> tuple[Engine, Callable[[bytes], None]]:
    """An engine with one admitted peer, and what hands it a frame of that peer."""
    world = World(1)
    one, _ = world.pair()
    world.run(1.0)
    engine = one.engine
    if kind is not Engine:
        taped = kind(one.identity, "home", EngineConfig(), Roster("home"), random.Random(1))
        taped.start(one.now())
        taped.go_on_as(engine.core)
        engine = taped
    (peer,) = (info.device_id for info in engine.peers(one.now()))
    link = engine.link(peer)
    assert link is not None
    epoch, now = link.epoch, one.now()

    def receive(data: bytes) -> None:
        engine.receive_frame(peer, epoch, data, now)
        engine.actions()

    return engine, receive


def frames() -> Iterator[Row]:
    call = encode_frame(RpcRequest("a" * 20, "echo", msgspec.Raw(b'{"text":"%b"}' % (b"x" * 45))))
    channel = encode_frame(Channel("state", msgspec.Raw(b'{"text":"%b"}' % (b"x" * 45))))
    for name, kind in (("", Engine), (", recorded", TapedEngine)):
        _, receive = linked(kind)
        yield Row(f"frame in: call{name}", best(partial(receive, call), 5_000), FRAME_US, "µs")
        yield Row(f"frame in: channel{name}", best(partial(receive, channel), 5_000), FRAME_US, "µs")


def announces() -> Iterator[Row]:
    """Of a device that is linked, and of strangers in rooms of two sizes."""
    world = World(1)
    one, other = world.pair()
    world.run(1.0)
    known = PeerAnnounced(other.device_id, again=True)
    us = best(partial(hear, one.engine, repeat(known)), 2_000)
    yield Row("announce of a linked peer", us, KNOWN_ANNOUNCE_US / 3, "µs")
    turns: list[Callable[[], object]] = []
    for size in (200, CROWD):
        engine = Engine(Identity.from_seed(bytes(32)), "home", EngineConfig(), Roster("home"), random.Random(1))
        engine.start(NOW)
        engine.be_watched(watched=False)
        room = [PeerAnnounced(device_id, again=True) for device_id in strangers(size)]
        for item in room:
            hear(engine, iter([item]))
        turns.append(partial(hear, engine, cycle(room)))
    # By turns, for the machine is not equally busy in each round.
    few, many = (min(found) for found in zip(*([_once(act) for act in turns] for _ in range(3 * ROUNDS)), strict=True))
    yield Row(f"announce of one among {CROWD:,}", many, few * 1.05, "µs", "must: no dearer than among 200")


def strangers(count: int) -> list[str]:
    return [Identity.from_seed(number.to_bytes(32, "big")).device_id for number in range(1, count + 1)]


def hear(engine: Engine, turn: Iterator[PeerAnnounced]) -> None:
    engine.receive_signal(next(turn), NOW)
    engine.actions()


def selectors() -> Iterator[Row]:
    """One node's whole view of ten thousand ids, nothing of it known before."""
    ids = strangers(10_000)
    members = Members(ids)
    modes: dict[str, TopologyMode] = {"ring": Ring(), "hubs": Hubs(hubs=tuple(ids[:8]))}
    for name, mode in modes.items():
        us = min(best(lambda mode=mode: shape_of(mode).wanted(ids[5], members), 1) for _ in range(3))
        yield Row(f"selectors of 10,000: {name}", us / 1e3, 50.0, "ms")


def memory() -> Iterator[Row]:
    """Of an engine with sixty more links."""
    few, many = (_traced(count) for count in (20, 80))
    yield Row("engine memory of a link", (many - few) / 60 / 1024, 8.0, "KiB")


def _traced(count: int) -> int:
    """Bytes that the engine of one device holds when it is linked with `count` others."""
    world = World(1)
    identities = world.identities(count + 1)
    star = EngineConfig(auto_approve=True, topology=Star(hub=identities[0].device_id))
    for identity in identities:
        world.node(identity, star)
    world.run(120.0)
    core = world.nodes[0].engine.core
    assert len(core.live_peers()) == count
    return size_of(core, set())


def size_of(value: object, seen: set[int]) -> int:
    """Bytes of an object of ours with everything that it holds; what is shared counts once, classes and code not."""
    if id(value) in seen or isinstance(value, type | Enum | Callable | ModuleType):  # type: ignore[arg-type]  # an ABC, which isinstance takes
        return 0
    seen.add(id(value))
    inside: Iterable[object]
    if isinstance(value, Mapping):
        inside = chain(value.keys(), value.values())
    elif isinstance(value, list | tuple | set | frozenset | deque):
        inside = value
    else:
        slots = chain.from_iterable(getattr(each, "__slots__", ()) for each in type(value).__mro__)
        names = [*slots, *getattr(value, "__struct_fields__", ()), *getattr(value, "__dict__", {})]
        inside = [getattr(value, name, None) for name in names if name != "__weakref__"]
    return sys.getsizeof(value) + sum(size_of(each, seen) for each in inside)


def frozen_peer() -> Iterator[Row]:
    """A peer whose process stands still: how long until `why` says so and its path is restarted."""
    slowest = 0.0
    for seed in range(20):
        world = World(seed)
        one, other = world.pair()
        world.run(10.0 + seed * 1.7)
        began = world.clock.seconds
        world.clock.after(0.0, other.freeze)

        def is_noticed(one: Node = one, other: Node = other) -> bool:
            link, info = one.engine.link(other.device_id), one.info(other)
            return info.why is not None and link is not None and link.transport.restart is not None

        world.run_until(is_noticed, within=40.0)
        slowest = max(slowest, world.clock.seconds - began)
    yield Row("peer frozen until why says so and it restarts", slowest, 6.0, "s", "simulated, slowest of 20")


# ── large runs ────────────────────────────────────────────────────────────────────────────────────────────────────────


class Stopwatch:
    """Times a run by loops in its midst: on a machine that others share, one before it says little about the run."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self._loops: list[float] = []
        self._began = time.process_time()
        self._loop()

    def _loop(self) -> None:
        self._loops.append(yardstick())
        self._clock.after(LOOP_EVERY_S, self._loop)

    def stop(self) -> tuple[float, str]:
        """Seconds of a core whose loop takes as long as when the figures were set, and what was measured."""
        took_s = time.process_time() - self._began - sum(self._loops)
        loop_s = median(self._loops)
        return took_s * LOOP_S / loop_s, f"{took_s:.1f} s with a loop of {loop_s * 1e3:.1f} ms"


def simulated(plan: Plan, most_s: float) -> Iterator[Row]:
    gc.set_threshold(*RARELY)
    under_way = Run(plan)
    watch = Stopwatch(under_way.world.clock)
    result = under_way.go()
    took_s, measured = watch.stop()
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    held = result.violation or "every invariant held"
    note = f"{measured}, {result.frames:,} frames, {peak_mb:.0f} MB at the peak, {held}"
    length = f"{plan.hours:g} h" if plan.hours >= 1 else f"{plan.hours * 60:.0f} min"
    yield Row(f"{plan.shape} {plan.nodes:,} × {length}", took_s, most_s, "s", note)


def node_of_200() -> Iterator[Row]:
    """Memory of a simulated node of a ring of 200, ten minutes and an hour after they met."""
    before = resident_mb()
    plan = Plan(nodes=200, shape="ring", seed=7)
    world = World(plan.seed)
    identities = world.identities(plan.nodes)
    config = plan.config([identity.device_id for identity in identities])
    for identity in identities:
        world.node(identity, config)
    found = []
    for seconds in (600.0, 3000.0):
        world.run(seconds)
        gc.collect()
        found.append((resident_mb() - before) / plan.nodes)
    yield Row("simulated node of 200, ten minutes on", found[0], 0.5, "MB")
    yield Row("simulated node of 200, an hour on", found[1], max(0.5, found[0] * 1.05), "MB", "flat")


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


class Member:
    """Announces itself for an hour and answers nothing."""

    def __init__(self, world: World, device_id: str, first_s: float) -> None:
        self.world = world
        self.device_id = device_id
        self.heard = PeerAnnounced(device_id)
        self.world.clock.after(first_s, self.announce)

    def announce(self) -> None:
        self.world.nodes[0].switch.receive_signal(self.heard)
        self.heard = PeerAnnounced(self.device_id, again=True)
        self.world.clock.after(ANNOUNCE_EVERY_S, self.announce)


def crowd() -> Iterator[Row]:
    """One engine among ten thousand members that announce themselves every two minutes, for an hour."""
    gc.set_threshold(*RARELY)  # the ten thousand are ours, and the collector would look through them all the time
    world = World(7)
    node = world.node(world.identities(1)[0])
    for device_id in strangers(CROWD):
        Member(world, device_id, world.rng.uniform(0.0, ANNOUNCE_EVERY_S))
    watch = Stopwatch(world.clock)
    world.run(3600.0)
    took_s, measured = watch.stop()
    said = node.announces.said
    yield Row(f"one engine among {CROWD:,} × 1 h", took_s, 15.0, "s", f"{measured}, it announced itself {said} times")


def _plan(shape: str, nodes: int, hours: float, most_s: float) -> Callable[[], Iterator[Row]]:
    return partial(simulated, Plan(nodes=nodes, hours=hours, shape=shape, seed=7), most_s)


SMALL: Final = {
    "frame in": frames,
    "announce": announces,
    "selectors": selectors,
    "engine memory": memory,
    "peer frozen": frozen_peer,
}
LARGE: Final = {
    "ring 200 1 h": _plan("ring", 200, 1, 10.0),
    "hubs 200 1 h": _plan("hubs", 200, 1, 10.0),
    "full_mesh 40 1 h": _plan("full_mesh", 40, 1, 10.0),
    "full_mesh 200 10 min": _plan("full_mesh", 200, 1 / 6, 180.0),
    "ring 1000 10 min": _plan("ring", 1000, 1 / 6, 180.0),
    "one engine among 10,000": crowd,
    "simulated node of 200": node_of_200,
}


def _rows(name: str) -> list[Row]:
    """Those of a large run."""
    return list(LARGE[name]())


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", action="store_true", help="the large runs of the simulator, too")
    parser.add_argument("--only", default="", metavar="TEXT", help="rows whose name holds it")
    options = parser.parse_args()
    loop_s = min(yardstick() for _ in range(ROUNDS))
    print(f"the loop: {loop_s * 1e3:.1f} ms")
    print(f"{'':46} {'found':>11} {'must':>9}")
    for name, rows in SMALL.items():
        if options.only in name:
            for row in rows():
                print(row.told())
    if options.runs:
        context = multiprocessing.get_context("spawn")
        for name in LARGE:
            if options.only in name:
                loop_s = min(yardstick() for _ in range(ROUNDS))
                with context.Pool(1) as pool:
                    found = pool.apply(_rows, (name,))
                for row in found:
                    print(row.told(), f"loop {loop_s * 1e3:.1f} ms")
                sys.stdout.flush()
    print("RPC p50 and idle CPU of the daemon: benchmarks/bench_mesh.py and benchmarks/bench_control.py")


if __name__ == "__main__":
    main()
