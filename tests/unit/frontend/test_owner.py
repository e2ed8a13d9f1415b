"""Taking back a daemon of an earlier launch: only one that is ours without doubt, and in whatever state (FE-3.17)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
import trio

from myownllm.supervisor.owner import OwnerFile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def home(tmp_path: Path) -> Path:
    made = tmp_path / "home"
    made.mkdir()
    return made


@pytest.fixture
def daemon(home: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A program that lives in the home until it is asked to end."""
    said = (
        "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(7)); print(flush=True); signal.pause()"
    )
    environ = {**os.environ, "MYOWNMESH_HOME": str(home)}
    process = subprocess.Popen([sys.executable, "-ISc", said], env=environ, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def owner(home: Path) -> OwnerFile:
    return OwnerFile(home / "owner.json", home, home / "daemon.sock")


async def test_a_recorded_child_is_taken_back_and_ended_politely(home: Path, daemon: subprocess.Popen[bytes]) -> None:
    owner(home).remember(daemon.pid)
    record = json.loads((home / "owner.json").read_text())
    assert (record["pid"], record["socket"]) == (daemon.pid, str(home / "daemon.sock"))
    found = owner(home).survivor()
    assert found is not None
    assert (found.pid, found.exit_status, found.is_frozen) == (daemon.pid, None, False)
    await found.stop()
    assert daemon.wait(0) == 7
    assert found.exit_status == 0
    with trio.fail_after(5):
        assert await found.wait() == 0


async def test_a_frozen_one_may_say_farewell_too(home: Path, daemon: subprocess.Popen[bytes]) -> None:
    owner(home).remember(daemon.pid)
    daemon.send_signal(signal.SIGSTOP)
    found = owner(home).survivor()
    assert found is not None
    deadline = time.monotonic() + 5
    while not found.is_frozen:
        assert time.monotonic() < deadline
    await found.stop()
    assert daemon.wait(0) == 7


@pytest.mark.parametrize(
    "change",
    [
        {"pid": os.getpid()},
        {"pid": 2**22 + 1},
        {"start_time": 1.0, "started": ""},
        {"started": "another-boot 1"},
        {"executable": "/bin/other"},
        {"home": "/other"},
        {"pid": "x"},
        {"pid": -1},
        {"pid": 0},
        {"pid": 2**63 - 1},
        {"pid": 2**80},
        {"start_time": float("nan"), "started": ""},
    ],
)
def test_one_wrong_mark_and_it_is_left_alone(
    home: Path, daemon: subprocess.Popen[bytes], change: dict[str, Any]
) -> None:
    owner(home).remember(daemon.pid)
    file = home / "owner.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    assert owner(home).survivor() is None
    assert daemon.poll() is None


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere the start is a date")
def test_a_clock_that_was_set_since_changes_nothing(home: Path, daemon: subprocess.Popen[bytes]) -> None:
    """Of the date only: it follows from the clock, and is not believed where the kernel's count is there."""
    owner(home).remember(daemon.pid)
    file = home / "owner.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "start_time": 1.0}))
    assert owner(home).survivor() is not None


def test_a_home_that_goes_by_another_name_is_the_same(home: Path, daemon: subprocess.Popen[bytes]) -> None:
    owner(home).remember(daemon.pid)
    other = home.with_name("linked")
    other.symlink_to(home)
    assert owner(other).survivor() is not None


def test_no_record_a_damaged_one_and_a_dead_child_mean_nobody(home: Path, daemon: subprocess.Popen[bytes]) -> None:
    assert owner(home).survivor() is None
    owner(home).remember(daemon.pid)
    daemon.kill()
    daemon.wait()
    assert owner(home).survivor() is None
    (home / "owner.json").write_text("{")
    assert owner(home).survivor() is None
