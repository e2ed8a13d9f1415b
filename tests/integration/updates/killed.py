"""The program behind `test_killed`: installs, swaps, is killed in front of each step, and starts again."""

from __future__ import annotations

import shutil
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from integration.updates.machine import NEW, OLD, Machine, Started
from myownmesh.updates import rules, swap
from support.killed_swaps import killed_before

if TYPE_CHECKING:
    from collections.abc import Callable


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
