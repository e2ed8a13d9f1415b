"""How long reading and saving a signed log of ten thousand devices holds the loop.

    python benchmarks/bench_governance_loop.py [ENTRIES]

The daemon's own reading and saving around a switch of the simulator, in a trio loop of which every turn is taken: in
the loop's own processor time (what the loop itself does) and by the clock (what it waits for threads besides). The
same turns without any log stand beside them.
"""

from __future__ import annotations

import itertools
import random
import sys
import tempfile
import time
from pathlib import Path

import trio

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from bench_governance_daemon import prepared
from mesh_common.switching import program_goes_on
from myownmesh.engine import EngineConfig
from myownmesh.governance.rules import STRICT
from myownmesh.identity import Identity
from myownmesh.mesh.governance_keeping import Governed
from myownmesh.mesh.governing import Governing
from myownmesh.protocol.transitions import RoleGrant
from myownmesh.simulator import World
from myownmesh.simulator.node import NETWORK, Node
from myownmesh.store import Store
from myownmesh.store.paths import Home

ENTRIES = 10_000
BEAT_S = 0.001
DECISIONS = 5


class Turns(trio.abc.Instrument):
    """Every turn of the loop between two waits for the system."""

    def __init__(self) -> None:
        self.cpu: list[float] = []
        self.wall: list[float] = []
        self._begun = (time.thread_time(), time.perf_counter())

    def after_io_wait(self, timeout: float) -> None:
        del timeout
        self._begun = time.thread_time(), time.perf_counter()

    def before_io_wait(self, timeout: float) -> None:
        del timeout
        self.cpu.append(time.thread_time() - self._begun[0])
        self.wall.append(time.perf_counter() - self._begun[1])

    def clear(self) -> None:
        self.cpu.clear()
        self.wall.clear()

    def told(self, what: str) -> None:
        def of(found: list[float]) -> str:
            found = sorted(found)
            return f"p99 {found[int(len(found) * 0.99)] * 1e3:.1f}, longest {found[-1] * 1e3:.1f} ms"

        print(f"{what}: {len(self.cpu)} turns, own time {of(self.cpu)}; by the clock {of(self.wall)}")


async def beat() -> None:
    """Give the loop a turn every millisecond."""
    beginning = trio.current_time()
    for number in itertools.count(1):
        await trio.sleep_until(beginning + number * BEAT_S)


async def measured(root: Path, turns: Turns, what: str) -> None:
    home = Home(root)
    store = Store(home)
    identity = store.load_identity()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(beat)
        await trio.lowlevel.checkpoint()  # the turn in which the files were made ends
        turns.clear()
        with program_goes_on():
            roster, files = await trio.to_thread.run_sync(
                lambda: (store.load_roster(NETWORK), store.open_governance(NETWORK))
            )
        turns.told(f"{what}: opening the files")
        nursery.cancel_scope.cancel()
    node = Node(World(len(what)), identity, EngineConfig(kind="closed"), roster)

    async def gate(_code: str | None) -> None:
        """No lock."""

    about = Governed(identity, NETWORK, "closed", STRICT, None, gate, tuple)
    governing = Governing(about, files, store, node.switch, random.Random(1))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(beat)
        await trio.lowlevel.checkpoint()
        turns.clear()
        await governing.load()
        for _ in range(100):
            node.switch.handle_timer()
            await trio.sleep(BEAT_S)
        turns.told(f"{what}: reading")
        store.save_roster(NETWORK, node.engine.roster)
        turns.clear()
        for _ in range(DECISIONS):
            await governing.propose(RoleGrant(Identity.from_seed(node.rng.randbytes(32)).device_id, "member"), None)
            await trio.to_thread.run_sync(store.save_roster, NETWORK, node.engine.roster)
        turns.told(f"{what}: {DECISIONS} decisions, saved twice each")
        nursery.cancel_scope.cancel()


async def main() -> None:
    count = int(sys.argv[1]) if sys.argv[1:] else ENTRIES
    turns = Turns()
    trio.lowlevel.add_instrument(turns)
    with tempfile.TemporaryDirectory() as folder:
        for name, entries in (("without", 0), (f"with {count:,}", count)):
            root = Path(folder, name.split()[0])
            prepared(root, entries, NETWORK)
            await measured(root, turns, name)
            if entries:
                await measured(root, turns, f"{name}, rows in the file")


if __name__ == "__main__":
    trio.run(main)
