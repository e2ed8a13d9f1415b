"""Killed at any instant, the slot is the old good file or the new good file (spec 09 F37, G6).

`MESH_KILLS=500` kills more often at random instants.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from integration.bundler.bench import TRIPLE, publish
from integration.bundler.fakes import daemon
from mesh_bundler import examine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from integration.bundler.bench import Machine
    from integration.bundler.release_server import ReleaseServer

OLD, NEW = daemon("0.1.2"), daemon("0.1.3")
KILLS = int(os.environ.get("MESH_KILLS", "200"))


class Zygote:
    """Runs `ensure` in forked children that may be killed."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("zygote.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self._order()
        assert self._process.stdout.readline() == "done 0\n"

    def _order(self, **members: object) -> None:
        assert self._process.stdin is not None
        request = {"repo_root": str(self._machine.repo), "target": TRIPLE, "env": self._machine.env}
        self._process.stdin.write(json.dumps({"request": request, **members}) + "\n")
        self._process.stdin.flush()

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(10)

    def run(self, *, die_at: int | None = None, kill_after: float | None = None) -> int:
        """Exit status of one run, -9 when it was killed."""
        assert self._process.stdout is not None
        self._order(die_at=die_at)
        pid = int(self._process.stdout.readline())
        timer = None
        if kill_after is not None:
            timer = threading.Timer(kill_after, _kill, [pid])
            timer.start()
        done = self._process.stdout.readline()
        if timer is not None:
            timer.cancel()
            timer.join()
        return int(done.split()[1])


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


@pytest.fixture
def moving(machine: Machine, server: ReleaseServer) -> Iterator[tuple[Machine, Zygote]]:
    """A slot with the old daemon while the pin has just moved to the new one."""
    machine.run()
    shutil.copytree(machine.dest, machine.folder / "old")
    publish(server, "0.1.3")
    (machine.repo / ".myownmesh-rev").write_text("v0.1.3")
    zygote = Zygote(machine)
    try:
        yield machine, zygote
    finally:
        zygote.close()


def _reset(machine: Machine, *, with_cache: bool) -> None:
    shutil.rmtree(machine.dest)
    shutil.copytree(machine.folder / "old", machine.dest)
    if not with_cache:
        shutil.rmtree(machine.folder / "cache", ignore_errors=True)


def _assert_sound(machine: Machine, when: str) -> None:
    """Old or new, and nobody is told otherwise."""
    held = machine.slot.read_bytes()
    assert held in (OLD, NEW), f"killed {when}: the slot is neither the old nor the new daemon"
    assert os.access(machine.slot, os.X_OK), f"killed {when}: the slot is not executable"
    if machine.marker == "v0.1.3":
        assert held == NEW, f"killed {when}: the marker says v0.1.3 and the slot is older"
    result, _ = examine(machine.request())
    if result.outcome == "current":
        assert held == NEW, f"killed {when}: an old slot passes as current"


def _assert_repaired(machine: Machine, zygote: Zygote, when: str) -> None:
    assert zygote.run() == 0, f"killed {when}: the next run failed"
    assert machine.slot.read_bytes() == NEW
    assert machine.marker == "v0.1.3"
    stray = [path.name for path in machine.dest.iterdir() if "incoming" in path.name or path.name.endswith(".tmp")]
    assert not stray, f"killed {when}: {stray} was left behind"


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("with_cache", "stride"),
    [
        pytest.param(True, 1, id="from the cache"),
        pytest.param(False, 5, id="download, every fifth", marks=pytest.mark.slow),
    ],
)
def test_killed_at_every_file_operation(moving: tuple[Machine, Zygote], with_cache: bool, stride: int) -> None:
    machine, zygote = moving
    for step in range(1, 1000, stride):
        _reset(machine, with_cache=with_cache)
        status = zygote.run(die_at=step)
        _assert_sound(machine, f"at operation {step}")
        if status != -signal.SIGKILL:
            assert status == 0
            assert step > 15, "the run did hardly anything"
            return
        _assert_repaired(machine, zygote, f"at operation {step}")
    pytest.fail("the run never ended by itself")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_killed_hundreds_of_times(moving: tuple[Machine, Zygote]) -> None:
    """Up to five kills in a row, on what the one before has left; the run after them succeeds."""
    machine, zygote = moving
    rng = random.Random(500)
    delays = [rng.uniform(0.0005, 0.04) for _ in range(KILLS)]
    killed = 0
    while delays:
        _reset(machine, with_cache=len(delays) % 2 == 0)
        row = [delays.pop() for _ in range(min(rng.randint(1, 5), len(delays)))]
        for delay in row:
            killed += zygote.run(kill_after=delay) == -signal.SIGKILL
            _assert_sound(machine, f"after {row} s")
        _assert_repaired(machine, zygote, f"after {row} s")
    assert killed > KILLS / 4, "the kills came too late to test anything"
