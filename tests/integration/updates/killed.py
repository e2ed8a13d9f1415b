"""The program behind `test_killed`: installs, swaps, is killed in front of each step, and starts again."""

from __future__ import annotations

import shutil
import struct
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from myownmesh.updates import boot, rules, swap, trees
from myownmesh.updates.installation import Installation, packed_version
from myownmesh.updates.place import Place
from myownmesh.updates.records import Staged
from support.killed_swaps import killed_before

if TYPE_CHECKING:
    from collections.abc import Callable

OLD, NEW = "0.3.8", "0.3.801"
TRAILER = struct.Struct("<64s64sQQQ8s")


class Started(Exception):
    """A start ended in becoming what is in place."""


def program_of(version: str) -> bytes:
    """As a single file ends: its version, and a digest that nobody asks for here."""
    body = version.encode() * 5000
    return body + TRAILER.pack(version.encode().ljust(64, b"\0"), b"0" * 64, 0, len(body), 0, b"MOMPACK1")


class Machine:
    """One home and one installation of the old version."""

    def __init__(self, root: Path, kind: str) -> None:
        self.root, self.kind = root, kind
        self.home = root / "home"
        self.place = Place(self.home)
        if kind == "file":
            program = root / "bin" / "myownmesh"
            program.parent.mkdir(parents=True)
            program.write_bytes(program_of(OLD))
        else:
            program = root / "prefix" / "current" / "myownmesh"
            self._folder(root / "prefix" / "versions" / OLD, OLD)
            (root / "prefix" / "current").symlink_to(f"versions/{OLD}")
        self.installation = Installation(kind, program)

    @staticmethod
    def _folder(folder: Path, version: str) -> None:
        (folder / "py").mkdir(parents=True)
        (folder / "myownmesh").write_bytes(version.encode())
        (folder / "py" / "a.pyc").write_bytes(version.encode() * 100)

    def stage(self) -> None:
        """The new version waits, as after a check."""
        if self.kind == "file":
            path = self.place.version_folder(NEW) / "myownmesh"
            path.parent.mkdir(parents=True)
            path.write_bytes(program_of(NEW))
            digest = trees.file_digest(path)
        else:
            path = self.installation.version_folder(NEW)
            self._folder(path, NEW)
            digest = trees.tree_digest(path)
        program = self.installation.program
        self.place.write(
            Staged(
                version=NEW,
                kind=self.kind,
                path=str(path),
                sha256=digest,
                size=1,
                asset="a",
                verified="checksum",
                key_id=None,
                staged_at=1,
                auto=True,
                target=str(program),
                target_mtime_ns=program.stat().st_mtime_ns,
            )
        )

    def _found(self, _: object) -> Installation:
        return self.installation

    def whole_version(self) -> str:
        """What a start would run; every byte of it is there, or this fails."""
        program = self.installation.program
        if self.kind == "file":
            version = packed_version(program)
            assert version is not None, "what stands at the program's place is no program"
            assert program.read_bytes() == program_of(version), "half a program"
            return version
        version = program.read_text()
        assert program.with_name("py").joinpath("a.pyc").read_text() == version * 100, "a mixed folder"
        return version

    def start(self) -> str:
        """Start the daemon as often as it becomes another program; what then runs."""
        for _ in range(5):
            running = self.whole_version()
            boot.VERSION = running
            boot.find = self._found
            try:
                boot.begin({"MYOWNMESH_HOME": str(self.home), "PATH": ""})
            except Started:
                continue
            return running
        raise AssertionError("it starts again and again")


def at_each_step(kind: str, prepare: Callable[[Machine], None], work: Callable[[Machine], object]) -> list[Machine]:
    """One machine for each step of the work, which was killed in front of it."""
    machines = list[Machine]()
    while True:
        machine = Machine(Path(tempfile.mkdtemp(dir=BASE)), kind)
        prepare(machine)
        if not killed_before(len(machines), partial(work, machine)):
            return machines
        machines.append(machine)


def become(*_: object) -> NoReturn:
    raise Started


def begin(machine: Machine) -> None:
    try:
        machine.start()
    except Started:
        return


def main() -> None:
    swap.become = become
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
        print(f"{kind}: {len(put_in)} steps forward, {len(back)} steps back")


BASE = sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp()

if __name__ == "__main__":
    try:
        main()
    finally:
        shutil.rmtree(BASE, ignore_errors=True)
