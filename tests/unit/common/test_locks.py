"""Locks: one holder, gone with its process, also where the file system has none (spec 07 C1, 09 §6.2)."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from mesh_common.locks import FileLock, FolderLock, Held, holder_note, read_note
from support.descriptors import descriptors

if TYPE_CHECKING:
    from pathlib import Path

HOLD = """
import sys
from pathlib import Path
from mesh_common.locks import FileLock
lock = FileLock(Path(sys.argv[1]))
lock.acquire(note=b"here I am")
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture(params=["with locks", "without locks"])
def file_system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A file system that has locks, and one that answers each request for one with ENOLCK."""

    def unsupported(_descriptor: int, _how: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    if request.param == "without locks":
        monkeypatch.setattr(fcntl, "flock", unsupported)
    return str(request.param)


@pytest.mark.usefixtures("file_system")
def test_two_locks_of_one_file_exclude_each_other(tmp_path: Path) -> None:
    first, second = FileLock(tmp_path / "l"), FileLock(tmp_path / "l")
    first.acquire()
    with pytest.raises(Held):
        second.acquire()
    first.release()
    first.release()
    second.acquire(wait=1.0)
    second.release()


@pytest.mark.usefixtures("file_system")
def test_a_lock_of_a_folder_leaves_nothing_in_it(tmp_path: Path) -> None:
    with FolderLock(tmp_path) as held, FolderLock(tmp_path) as refused:
        assert held.try_acquire()
        assert not refused.try_acquire()
        assert list(tmp_path.iterdir()) == []
    with FolderLock(tmp_path) as next_one:
        assert next_one.try_acquire()


def test_a_lock_names_its_holder_only_while_it_is_held(tmp_path: Path) -> None:
    path = tmp_path / "l"
    assert holder_note(path) is None
    with FileLock(path) as lock:
        assert lock.try_acquire(b"seven")
        assert holder_note(path) == b"seven"
        with pytest.raises(Held) as caught:
            FileLock(path).acquire()
        assert caught.value.note == b"seven"
    assert holder_note(path) is None
    assert read_note(path) == b"seven"


def test_a_lock_file_without_a_holder_means_nothing(tmp_path: Path) -> None:
    (tmp_path / "l").write_text("4711\n")
    assert holder_note(tmp_path / "l") is None
    with FileLock(tmp_path / "l") as lock:
        lock.acquire(note=b"me")
        assert read_note(tmp_path / "l") == b"me"


def test_a_killed_holder_leaves_no_lock(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "l")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(Held) as caught:
            FileLock(tmp_path / "l").acquire()
        assert caught.value.note == b"here I am"
        holder.kill()
        holder.wait()
    with FileLock(tmp_path / "l") as lock:
        lock.acquire()


def test_a_full_disk_costs_the_words_and_not_the_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with FileLock(tmp_path / "l") as lock:
        assert lock.try_acquire(b"me")
        assert not FileLock(tmp_path / "l").try_acquire()


def test_who_waits_is_asked_between_tries_and_may_give_up(tmp_path: Path) -> None:
    class GaveUpError(Exception):
        pass

    def give_up(seconds: float) -> None:
        assert seconds >= 0
        raise GaveUpError

    with FileLock(tmp_path / "l") as lock:
        lock.acquire()
        with pytest.raises(GaveUpError):
            FileLock(tmp_path / "l").acquire(wait=60, waiting=give_up)


def test_a_lock_that_cannot_be_made_is_an_error_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FileNotFoundError):
        FileLock(tmp_path / "absent" / "l").acquire(wait=60)

    def broken(_descriptor: int, _how: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    before = descriptors()
    monkeypatch.setattr(fcntl, "flock", broken)
    with pytest.raises(OSError, match="Input/output"):
        FileLock(tmp_path / "l").acquire(wait=60)
    assert descriptors() == before, "it holds no descriptor"


def test_a_try_at_a_lock_that_is_held_holds_no_descriptor(tmp_path: Path) -> None:
    with FileLock(tmp_path / "l") as lock:
        assert lock.try_acquire()
        before = descriptors()
        assert not FileLock(tmp_path / "l").try_acquire()
        assert descriptors() == before


@pytest.mark.parametrize("owner", ["silent for long", "a dead process of this machine"])
def test_without_locks_a_dead_holders_claim_is_taken_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: str
) -> None:
    def unsupported(_descriptor: int, _how: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", unsupported)
    claim = tmp_path / "l.excl"
    if owner == "silent for long":
        claim.write_text("1 elsewhere")
        os.utime(claim, (1, 1))
    else:
        gone = subprocess.Popen([sys.executable, "-c", ""])
        gone.wait()
        claim.write_text(f"{gone.pid} {os.uname().nodename}")
    with FileLock(tmp_path / "l") as lock:
        assert holder_note(tmp_path / "l") is None
        lock.acquire(wait=1.0)
        assert claim.read_text().startswith(f"{os.getpid()} ")
    assert not claim.exists()


@pytest.mark.parametrize("owner", ["1 elsewhere", "", "no number here"])
def test_without_locks_a_fresh_claim_of_anybody_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: str
) -> None:
    def unsupported(_descriptor: int, _how: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", unsupported)
    (tmp_path / "l.excl").write_text(owner)
    with pytest.raises(Held):
        FileLock(tmp_path / "l").acquire(wait=0.05)
    assert (tmp_path / "l.excl").read_text() == owner
