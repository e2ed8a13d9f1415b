"""The program behind `test_killed`: installs, swaps, is killed in front of each step, and starts again."""

from __future__ import annotations

import gzip
import io
import shutil
import sys
import tarfile
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from integration.updates.machine import NEW, OLD, Machine, Started, program_of
from mesh_bundler.target import PLATFORMS
from myownmesh.updates import rules, staging, swap, trees
from myownmesh.updates.obtain import Obtained
from support.killed_swaps import killed_before

if TYPE_CHECKING:
    from collections.abc import Callable

    from myownmesh.updates.records import Staged


def at_each_step(kind: str, prepare: Callable[[Machine], None], work: Callable[[Machine], object]) -> list[Machine]:
    """One machine for each step of the work, which was killed in front of it."""
    machines = list[Machine]()
    while True:
        machine = Machine(Path(tempfile.mkdtemp(dir=BASE)), kind)
        prepare(machine)
        if not killed_before(len(machines), partial(work, machine)):
            return machines
        machines.append(machine)


def archive_of(kind: str) -> bytes:
    """The new version as a release has it."""
    members = {"myownmesh": program_of(NEW) + bytes(1 << 20) + program_of(NEW)}
    if kind == "folder":
        members = {f"myownmesh-{NEW}/{name}": NEW.encode() * 100 for name in ("myownmesh", "py/a.pyc", "py/b/c.pyc")}
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return gzip.compress(raw.getvalue(), compresslevel=0)


def stage(machine: Machine) -> None:
    """What a check does with an archive that has been verified; it is fetched anew after a kill."""
    folder = machine.place.version_folder(NEW)
    folder.mkdir(parents=True, exist_ok=True)
    archive = folder / "archive.part"
    archive.write_bytes(ARCHIVES[machine.kind])
    staging.stage(
        machine.place,
        machine.installation,
        Obtained(archive, "checksum", None),
        version=NEW,
        asset="a",
        platform=PLATFORMS["linux-x86_64"],
        auto=True,
    )


def whole(staged: Staged) -> bool:
    """Whether what is noted as staged is there, every byte of it."""
    path = Path(staged.path)
    return staged.sha256 == (trees.tree_digest(path) if staged.kind == "folder" else trees.file_digest(path))


def become(*_: object) -> NoReturn:
    raise Started


def begin(machine: Machine) -> None:
    try:
        machine.start()
    except Started:
        return


def main() -> None:
    swap.become = become
    staging.try_out = lambda *_: None  # nothing here runs
    for kind in ("file", "folder"):
        put_in = at_each_step(kind, Machine.stage, begin)
        for step, machine in enumerate(put_in):
            before = machine.whole_version()
            assert before in (OLD, NEW)
            now = machine.start()
            assert now == NEW, f"{kind}, killed in front of step {step}: {now} runs, not the new version"
            state = machine.place.state()
            assert state is not None
            assert (state.current, state.unconfirmed, state.previous) == (NEW, True, OLD), state
            assert swap.way_back(machine.installation, state), f"{kind}, step {step}: no way back"
            assert machine.place.staged() is None

        def tried(machine: Machine) -> None:
            machine.stage()
            for _ in range(rules.STARTS_ALLOWED):
                machine.start()

        back = at_each_step(kind, tried, begin)
        for step, machine in enumerate(back):
            assert machine.whole_version() in (OLD, NEW)
            for _ in range(2):  # a start that was killed in front of its note has not counted
                now = machine.start()
            assert now == OLD, f"{kind}, killed in front of step {step} of going back: {now} runs"
            state = machine.place.state()
            assert state is not None
            assert (state.current, state.rolled_back_from) == (OLD, NEW), state
            assert state.quarantined(NEW)
        fetched = at_each_step(kind, lambda _: None, stage)
        for step, machine in enumerate(fetched):
            assert machine.whole_version() == OLD
            noted = machine.place.staged()
            assert noted is None or whole(noted), f"{kind}, killed in front of step {step} of staging: half a version"
            stage(machine)
            noted = machine.place.staged()
            assert noted is not None
            assert whole(noted)
            left = {
                path.name for path in (machine.place.root, machine.installation.prefix) for path in path.rglob("*.new")
            }
            assert not left, left
        print(f"{kind}: {len(put_in)} steps forward, {len(back)} steps back, {len(fetched)} steps to be staged")


ARCHIVES = {kind: archive_of(kind) for kind in ("file", "folder")}
BASE = sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp()

if __name__ == "__main__":
    try:
        main()
    finally:
        shutil.rmtree(BASE, ignore_errors=True)
