"""What the engine and whole simulated networks cost, beside a fixed loop of the same run.

    python benchmarks/bench_engine.py [--runs]

The loop is plain Python of a fixed length; a figure divided by its time compares between machines and busy hours, which
absolute numbers do not. `--runs` adds the large runs of the simulator, each in a process of its own, with its memory.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import resource
import sys
import time
from functools import partial
from itertools import cycle, repeat
from typing import TYPE_CHECKING, Final

import msgspec

from myownmesh.engine import Engine, EngineConfig
from myownmesh.flight.tape import TapedEngine
from myownmesh.identity import Identity
from myownmesh.protocol.clock import Instant
from myownmesh.protocol.codec import encode_frame
from myownmesh.protocol.frames import Channel, RpcRequest
from myownmesh.protocol.modes import Hubs, Ring
from myownmesh.protocol.signals import PeerAnnounced
from myownmesh.roster import Roster
from myownmesh.simulator.plan import Plan
from myownmesh.simulator.run import run
from myownmesh.simulator.world import World
from myownmesh.topology.members import Members
from myownmesh.topology.shapes import shape_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from myownmesh.protocol.modes import TopologyMode

ROUNDS: Final = 7
NOW: Final = Instant(1.0, 1_700_000_000_000)
RUNS: Final = (
    Plan(nodes=200, hours=1, shape="ring", seed=7),
    Plan(nodes=200, hours=1, shape="hubs", seed=7),
    Plan(nodes=40, hours=1, shape="full_mesh", seed=7),
)


def yardstick() -> float:
    """Seconds of a fixed loop over dicts, texts and small objects, as the engine is."""
    began = time.perf_counter()
    seen: dict[str, tuple[int, str]] = {}
    for number in range(60_000):
        key = f"peer {number % 997}"
        seen[key] = (number, key.upper())
        if number % 3 == 0:
            seen.pop(key, None)
    return time.perf_counter() - began


def best(act: Callable[[], object], number: int) -> float:
    """Microseconds of one call, of the best round."""
    found = float("inf")
    for _ in range(ROUNDS):
        began = time.perf_counter()
        for _ in range(number):
            act()
        found = min(found, (time.perf_counter() - began) / number)
    return found * 1e6


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


def frames() -> dict[str, float]:
    call = encode_frame(RpcRequest("a" * 20, "echo", msgspec.Raw(b'{"text":"%b"}' % (b"x" * 45))))
    channel = encode_frame(Channel("state", msgspec.Raw(b'{"text":"%b"}' % (b"x" * 45))))
    found = {}
    for name, kind in (("", Engine), (", recorded", TapedEngine)):
        _, receive = linked(kind)
        found[f"frame in: call{name}"] = best(partial(receive, call), 5_000)
        found[f"frame in: channel{name}"] = best(partial(receive, channel), 5_000)
    return found


def announces() -> dict[str, float]:
    """Of a device that is linked, and of strangers in rooms of two sizes."""
    world = World(1)
    one, other = world.pair()
    world.run(1.0)
    known = PeerAnnounced(other.device_id, again=True)
    found = {"announce of a linked peer": best(partial(hear, one.engine, repeat(known)), 2_000)}
    for size in (200, 10_000):
        engine = Engine(Identity.from_seed(bytes(32)), "home", EngineConfig(), Roster("home"), random.Random(1))
        engine.start(NOW)
        engine.be_watched(watched=False)
        seeds = (number.to_bytes(32, "big") for number in range(1, size + 1))
        room = [PeerAnnounced(Identity.from_seed(seed).device_id, again=True) for seed in seeds]
        for item in room:
            hear(engine, iter([item]))
        found[f"announce of one among {size:,}"] = best(partial(hear, engine, cycle(room)), 2_000)
    return found


def hear(engine: Engine, turn: Iterator[PeerAnnounced]) -> None:
    engine.receive_signal(next(turn), NOW)
    engine.actions()


def selectors() -> dict[str, float]:
    """One node's whole view of ten thousand ids."""
    ids = [Identity.from_seed(number.to_bytes(32, "big")).device_id for number in range(1, 10_001)]
    members = Members(ids)
    modes: dict[str, TopologyMode] = {"ring": Ring(), "hubs": Hubs(hubs=tuple(ids[:8]))}
    return {
        f"selectors of 10,000: {name}": best(partial(shape_of(mode).wanted, ids[5], members), 3)
        for name, mode in modes.items()
    }


def _measured(plan: Plan) -> tuple[float, float, str]:
    result = run(plan)
    return (
        result.took_s,
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        result.violation or "every invariant held",
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", action="store_true", help="the large runs of the simulator, too")
    options = parser.parse_args()
    loop_s = min(yardstick() for _ in range(ROUNDS))
    print(f"{'':36} {'µs':>10} {'of the loop':>12}")
    print(f"{'the loop':36} {loop_s * 1e6:>10,.0f} {1:>12.6f}")
    for name, us in {**frames(), **announces(), **selectors()}.items():
        print(f"{name:36} {us:>10,.2f} {us / 1e6 / loop_s:>12.6f}")
    if not options.runs:
        return
    context = multiprocessing.get_context("spawn")
    for plan in RUNS:
        with context.Pool(1) as pool:
            took_s, memory_mb, verdict = pool.apply(_measured, (plan,))
        print(f"{plan.command()}\n  {took_s:.1f} s, {took_s / loop_s:.0f} loops, {memory_mb:.0f} MB, {verdict}")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
