"""How cost, memory and traffic of one device grow with the network, in ring, hubs and full mesh (docs/scaling.md).

    python benchmarks/bench_scaling.py --measure ring:200 hubs:200 full_mesh:40  # each in a process of its own
    python benchmarks/bench_scaling.py  # tables and plot from what was measured

What was measured stands in docs/scaling.json; without --measure nothing is measured, and the page and the plot are made
anew from it. A run meets for two virtual minutes and is then looked at for five, in which nothing happens. Times are
told as those of a core whose fixed loop (`bench_engine.py`) takes 13 ms: so runs of other hours and machines compare.
"""

from __future__ import annotations

import argparse
import gc
import json
import multiprocessing
import resource
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs

from bench_engine import yardstick
from myownmesh.identity import Identity
from myownmesh.simulator.plan import Plan
from myownmesh.simulator.run import Run
from myownmesh.topology.members import Members
from myownmesh.topology.shapes import shape_of
from scaling_page import SHAPES, Measured, Paper, page, plot

if TYPE_CHECKING:
    from mesh_common.views import Traffic

DOCS: Final = Path(__file__).resolve().parents[1] / "docs"
SIZES: Final = (10, 30, 100, 300, 1000, 3000, 10_000)
MEETING_S: Final = 120.0
LOOKED_S: Final = 300.0
SEED: Final = 7
LOOP_S: Final = 0.013
"""The fixed loop of the machine on which the first figures were taken."""


def measure(shape: str, nodes: int) -> Measured:
    """Run a network in this process, which should be a fresh one."""
    gc.set_threshold(100_000, 50, 1000)
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    run = Run(Plan(nodes=nodes, hours=1.0, shape=shape, seed=SEED))
    world = run.world
    began = time.process_time()
    for device_id in run.cast.identities:
        run.cast.start(device_id)
    world.run(MEETING_S)
    met_ms = (time.process_time() - began) * 1000
    met_frames = world.wire.frames
    devices = run.cast.running()
    sent = sum(_bytes(node.engine.core.traffic) for node in devices)
    heard = sum(node.engine.core.traffic.announces_rx for node in devices)
    loops = [yardstick()]
    began = time.process_time()
    world.run(LOOKED_S)
    took_ms = (time.process_time() - began) * 1000
    loops.append(yardstick())
    share = LOOP_S * len(loops) / sum(loops)
    hours = LOOKED_S / 3600 * nodes
    return Measured(
        shape,
        nodes,
        round(sum(len(node.sessions()) for node in devices) / nodes, 2),
        round((world.wire.frames - met_frames) / hours, 1),
        round((sum(_bytes(node.engine.core.traffic) for node in devices) - sent) / hours),
        round((sum(node.engine.core.traffic.announces_rx for node in devices) - heard) / hours, 1),
        round(took_ms * share / hours, 1),
        round(met_ms * share / nodes, 2),
        round(met_frames / nodes, 1),
        round((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb) / nodes, 1),
    )


def _bytes(sent: Traffic) -> int:
    lanes = (sent.keepalive_tx, sent.control_tx, sent.gossip_tx, sent.app_tx, sent.other_tx)
    return sum(lane.bytes for lane in lanes)


def links_on_paper(shape: str, nodes: int) -> tuple[float, int]:
    """Links of a device by the shape alone: on average, and of the one that has most."""
    ids = [Identity.from_seed(number.to_bytes(32, "big")).device_id for number in range(nodes)]
    made = shape_of(Plan(nodes=nodes, shape=shape).config(ids).topology)
    members = Members(ids)
    if shape == "full_mesh":
        return nodes - 1, nodes - 1
    # Every member of a ring has the same; of hubs all are looked at, and a few hundred spokes stand for the others.
    hubs = [each for each in ids if made.forwards(each)] if shape == "hubs" else []
    spokes = [each for each in ids if each not in set(hubs)][:300]
    of_hubs = [len(made.wanted(hub, members)) for hub in hubs]
    of_spokes = [len(made.wanted(spoke, members)) for spoke in spokes]
    average = (sum(of_hubs) + sum(of_spokes) / len(spokes) * (nodes - len(hubs))) / nodes
    return round(average, 2), max([*of_hubs, *of_spokes])


def read(path: Path) -> tuple[list[Measured], list[Paper]]:
    known = json.loads(path.read_text("utf-8"))
    return [Measured(**each) for each in known["measured"]], [Paper(**each) for each in known["paper"]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measure", nargs="*", default=[], metavar="SHAPE:DEVICES")
    arguments = parser.parse_args()
    path = DOCS / "scaling.json"
    measured, paper = read(path) if path.exists() else ([], [])
    for word in arguments.measure:
        shape, _, nodes = word.partition(":")
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            made = pool.apply(measure, (shape, int(nodes)))
        print(made, flush=True)
        measured = [each for each in measured if (each.shape, each.nodes) != (shape, int(nodes))] + [made]
        _write(path, measured, paper)
    if not paper:
        paper = [Paper(shape, nodes, *links_on_paper(shape, nodes)) for shape in SHAPES for nodes in SIZES]
        _write(path, measured, paper)
    (DOCS / "scaling.svg").write_text(plot(measured, paper), "utf-8")
    text = DOCS / "scaling.md"
    text.write_text(page(text.read_text("utf-8"), measured, paper), "utf-8")


def _write(path: Path, measured: list[Measured], paper: list[Paper]) -> None:
    made = {"measured": [attrs.asdict(each) for each in measured], "paper": [attrs.asdict(each) for each in paper]}
    path.write_text(json.dumps(made, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
