"""Locks: mutual exclusion, time limits (spec 09 §6.2)."""

from __future__ import annotations

import subprocess
import sys
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from mesh_bundler import filelock
from mesh_bundler.errors import Refused

if TYPE_CHECKING:
    from pathlib import Path


def test_one_holder_at_a_time(tmp_path: Path) -> None:
    path, inside, most = tmp_path / "l", [0], [0]

    def work() -> None:
        with filelock.hold(path):
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            inside[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]


def test_the_kernel_frees_the_lock_of_a_dead_process(tmp_path: Path) -> None:
    path = tmp_path / "l"
    code = (
        "import os,sys,signal;from pathlib import Path;from mesh_bundler import filelock\n"
        "with filelock.hold(Path(sys.argv[1])): print(flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdin is not None
    assert holder.stdout is not None
    holder.stdout.readline()
    with pytest.raises(Refused) as caught, filelock.hold(path, timeout=0.1):
        pass
    assert caught.value.code == "lock_timeout"
    assert str(holder.pid) in caught.value.message
    holder.kill()
    holder.wait()
    holder.stdin.close()
    holder.stdout.close()
    with filelock.hold(path, timeout=1):
        assert path.exists()


def test_waiting_is_mentioned_after_two_seconds_and_then_every_ten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, said = [0.0], list[float]()
    clock = SimpleNamespace(
        monotonic=lambda: now[0],
        sleep=lambda seconds: now.__setitem__(0, now[0] + max(seconds, 0.01)),
        time=lambda: 0.0,
    )
    monkeypatch.setattr("mesh_common.locks.time", clock)
    with (
        filelock.hold(tmp_path / "l"),
        pytest.raises(Refused),
        filelock.hold(tmp_path / "l", timeout=30, waiting=lambda _holder, seconds: said.append(round(seconds))),
    ):
        pass
    assert said == [2, 12, 22]
