"""What a signed log of ten thousand devices costs a real daemon: memory, and how soon its socket answers meanwhile.

    python benchmarks/bench_governance_daemon.py [ENTRIES]

Two daemons side by side, asked in turns: one whose network has the log, and one whose network has its founding only.
While the first reads and verifies its file, and again while it saves after a decision, both are asked for their status;
and while neither has anything to do, beside a program that uses a processor as the reading does: on a machine whose
processors all have work, that alone makes everybody wait.
"""

from __future__ import annotations

import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import trio

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from bench_governance import NETWORK, admits, signed
from myownmesh.governance.adoption import hear_log
from myownmesh.governance.book import Book
from myownmesh.governance.hearing import hear_entries
from myownmesh.governance.log import EMPTY
from myownmesh.governance.pins import Pin
from myownmesh.governance.rules import STRICT
from myownmesh.governance.signatures import Checks
from myownmesh.governance.words import OURSELVES
from myownmesh.identity import Identity
from myownmesh.protocol.transitions import KindChange
from myownmesh.store import Store
from myownmesh.store.governance_files import save_book
from myownmesh.store.paths import Home
from support.daemons import Refused, daemon, network_record

if TYPE_CHECKING:
    from support.daemons import Control, Daemon

ENTRIES = 10_000
GAP_S = 0.002
BUSY = "import time; end = time.monotonic() + 3\nwhile time.monotonic() < end: pass"
LEAST_S = 3.0
SETTLED_S = 10.0
"""After the file is read, rows of ten thousand devices are made, in slices."""


def prepared(root: Path, count: int, network: str = NETWORK) -> None:
    """Write the signed files of a founder that let in so many devices."""
    home = Home(root)
    owner = Store(home).load_identity()
    log = EMPTY.extended([signed(KindChange("closed"), 1, owner, network)], network, STRICT)
    book = hear_log(Book(network, owner.device_id, Pin(network).on(log)), log, OURSELVES, 1).book
    rest = tuple(admits(count, owner, network, int(time.time()) - 10))
    checks = Checks(network)
    while rest:
        heard = hear_entries(book, rest, OURSELVES, checks, int(time.time()), max_checks=1000)
        book, rest = heard.book, heard.rest
    save_book(home, network, book)


async def timed(control: Control) -> float:
    begun = time.perf_counter()
    await control.ask("status")
    return time.perf_counter() - begun


async def asked(pair: tuple[Daemon, Daemon], work: Any) -> list[list[float]]:
    """Answer times of both while `work` is under way, at least for a while."""
    times: list[list[float]] = [[], []]
    controls = [await each.control() for each in pair]
    done = trio.Event()

    async def do() -> None:
        await work()
        done.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(do)
        until = trio.current_time() + LEAST_S
        while not done.is_set() or trio.current_time() < until:
            turns = [*zip(times, controls, strict=True)]
            for found, control in turns if len(times[0]) % 2 else reversed(turns):  # the first one wakes up
                found.append(await timed(control))
            await trio.sleep(GAP_S)
    return times


def told(what: str, times: list[list[float]]) -> None:
    def of(found: list[float]) -> str:
        found = sorted(found)
        return f"p50 {found[len(found) // 2] * 1e3:.2f}, p99 {found[int(len(found) * 0.99)] * 1e3:.1f} ms"

    print(f"{what}: with the log {of(times[0])}; without {of(times[1])} ({len(times[0])} answers each)")


async def main() -> None:
    count = int(sys.argv[1]) if sys.argv[1:] else ENTRIES
    with tempfile.TemporaryDirectory() as folder:
        homes = [Path(folder, name) for name in ("log", "none")]
        for home, entries in zip(homes, (count, 0), strict=True):
            async with daemon(home) as made:
                record = network_record(NETWORK, "ws://127.0.0.1:9", kind="closed")
                await made.ask("network_add", config=record)
                await made.stop()
            prepared(home, entries)
        async with daemon(homes[0]) as full, daemon(homes[1]) as empty:

            async def read_in() -> None:
                begun = time.perf_counter()
                while True:
                    with suppress(trio.TooSlowError):
                        try:
                            await full.ask("governance_withdraw", network=NETWORK, proposal_id="prop_0")
                        except Refused:
                            break  # it has been looked for, and there is none
                print(f"the file is read {time.perf_counter() - begun:.1f} s after the start")

            told("while it is read", await asked((full, empty), read_in))
            await trio.sleep(SETTLED_S)
            megabytes = [each.memory_mb() for each in (full, empty)]

            async def saved() -> None:
                for number in range(5):
                    device = Identity.from_seed(bytes([77, number]) * 16).device_id
                    await full.ask("governance_propose_role_grant", network=NETWORK, target=device, role="member")

            told("while five decisions are saved", await asked((full, empty), saved))
            await trio.sleep(SETTLED_S)
            later = [each.memory_mb() for each in (full, empty)]
            print("memory: {:.1f} MB, without {:.1f}; after saving {:.1f} and {:.1f}".format(*megabytes, *later))
            await trio.sleep(SETTLED_S)

            async def busy() -> None:
                await trio.run_process([sys.executable, "-c", BUSY])

            told("while another program uses a processor", await asked((full, empty), busy))
            state = await full.ask("governance_state", network=NETWORK)
            assert len(state["state"]["member_log"]) == count + 5
            print(f"after an answer with all of it: {full.memory_mb():.1f} MB")


if __name__ == "__main__":
    trio.run(main)
