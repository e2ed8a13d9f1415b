"""Kernel locks: one holder, gone with its process (spec 07 C1, C9)."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from myownmesh.store import AlreadyRunning, Home, StoreError, open_store
from myownmesh.store.locks import FileLock, Held, holder_pid

if TYPE_CHECKING:
    from pathlib import Path

HOLD = """
import sys
from pathlib import Path
from myownmesh.store.locks import FileLock
lock = FileLock(Path(sys.argv[1]))
lock.acquire()
lock.write_holder()
print("held", flush=True)
sys.stdin.read()
"""


def test_two_locks_of_one_file_exclude_each_other(tmp_path: Path) -> None:
    first, second = FileLock(tmp_path / "l"), FileLock(tmp_path / "l")
    first.acquire()
    with pytest.raises(Held):
        second.acquire()
    first.release()
    first.release()
    second.acquire()
    second.release()


def test_a_lock_file_without_a_holder_means_nothing(tmp_path: Path) -> None:
    (tmp_path / "l").write_text("4711\n")
    with FileLock(tmp_path / "l") as lock:
        lock.acquire()
        lock.write_holder()
        assert holder_pid(tmp_path / "l") == os.getpid()


def test_a_killed_holder_leaves_no_lock(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "l")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(Held) as caught:
            FileLock(tmp_path / "l").acquire()
        assert caught.value.pid == holder.pid
        holder.kill()
        holder.wait()
    with FileLock(tmp_path / "l") as lock:
        lock.acquire()


def test_a_lock_that_cannot_be_opened_says_why(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"open lock file .*absent/l: No such file or directory \(os error 2\)"):
        FileLock(tmp_path / "absent" / "l").acquire()


def test_a_second_node_is_told_who_has_the_directory(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    with open_store(home):
        home.config.write_text('{"daemon":{"control_socket":"/run/mesh/d.sock"}}')
        with pytest.raises(AlreadyRunning) as caught:
            open_store(home)
    assert caught.value.pid == os.getpid()
    assert f"process {os.getpid()} (control socket /run/mesh/d.sock)" in str(caught.value)
    open_store(home).close()


@pytest.mark.parametrize("content", ["", "x", "-1", "12 13", "٣"])
def test_a_strange_lock_file_names_nobody(tmp_path: Path, content: str) -> None:
    (tmp_path / "l").write_text(content, "utf-8")
    assert holder_pid(tmp_path / "l") is None
