"""Durable files: whole or not at all, each writer on its own (spec 07 §3)."""

from __future__ import annotations

import errno
import os
import stat
import threading
from pathlib import Path

import pytest

from mesh_common.files import keep_copy, open_regular, remove_leftovers, sync_folder, write_atomically
from support.descriptors import descriptors


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("wanted", [0o600, 0o644, 0o400])
def test_the_mode_is_what_was_asked_for_whatever_the_old_one_was(tmp_path: Path, wanted: int) -> None:
    file = tmp_path / "f"
    for before in (0o666, 0o400):
        file.touch()
        file.chmod(before)
        write_atomically(file, b"new", mode=wanted)
        assert mode(file) == wanted
        file.unlink()


def test_writers_at_the_same_time_share_no_temporary_file(tmp_path: Path) -> None:
    texts = [bytes([65 + number]) * 100_000 for number in range(4)]
    file = tmp_path / "f"

    def write(text: bytes) -> None:
        for _ in range(10):
            write_atomically(file, text, mode=0o600)

    writers = [threading.Thread(target=write, args=(text,)) for text in texts]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert file.read_bytes() in texts
    assert [entry.name for entry in tmp_path.iterdir()] == ["f"]


def test_a_failed_write_leaves_the_old_file_and_no_rubbish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "f"
    file.write_bytes(b"old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mesh_common.files.os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(file, b"new", mode=0o600)
    assert file.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["f"]


def test_what_is_no_file_is_refused_and_holds_no_descriptor(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "f").write_bytes(b"text")
    before = descriptors()
    for name in ("pipe", "folder"):
        with pytest.raises(OSError, match=name):
            open_regular(tmp_path / name)
    with open_regular(tmp_path / "f") as file:
        assert file.read() == b"text"
    assert descriptors() == before


def test_leftovers_of_killed_writers_go_and_nothing_else(tmp_path: Path) -> None:
    old = [tmp_path / f"f.{part}.tmp" for part in ("17-0123abcd", "0123456789ab", "4711")]
    young, other = tmp_path / "f.18-0123abcd.tmp", tmp_path / "notes.tmp"
    for file in (*old, young, other):
        file.write_text("x")
    for file in (*old, other):
        os.utime(file, (1000, 1000))
    remove_leftovers(tmp_path, young.stat().st_mtime + 1)
    assert sorted(tmp_path.iterdir()) == sorted([young, other])
    remove_leftovers(tmp_path / "absent", 0)


def test_the_text_is_synced_before_it_becomes_visible(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "f"
    order: list[str] = []
    sync, replace = os.fsync, Path.replace

    def note_sync(descriptor: int) -> None:
        order.append("directory" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        sync(descriptor)

    def note_replace(self: Path, target: Path) -> Path:
        order.append("rename")
        return replace(self, target)

    monkeypatch.setattr("mesh_common.files.os.fsync", note_sync)
    monkeypatch.setattr(Path, "replace", note_replace)
    write_atomically(file, b"x", mode=0o600)
    assert order == ["file", "rename", "directory"]


@pytest.mark.parametrize("refusal", [errno.EINVAL, errno.ENOTSUP, errno.EACCES])
def test_a_folder_that_cannot_be_synced_is_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusal: int
) -> None:
    def refuse(descriptor: int) -> None:
        raise OSError(refusal, os.strerror(refusal))

    monkeypatch.setattr("mesh_common.files.os.fsync", refuse)
    sync_folder(tmp_path)


def test_a_disk_that_fails_under_a_folder_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("mesh_common.files.os.fsync", fail)
    with pytest.raises(OSError, match="Input/output"):
        sync_folder(tmp_path)


def no_links(self: Path, target: Path) -> None:
    raise OSError(errno.EPERM, "Operation not permitted")


def made_and_denied(self: Path, target: Path) -> None:
    """A link over the network whose answer was lost and asked for again."""
    os.link(target, self)
    raise FileExistsError(errno.EEXIST, "File exists")


@pytest.mark.parametrize("link", [None, no_links, made_and_denied])
def test_a_copy_is_kept_with_and_without_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, link: object | None
) -> None:
    if link is not None:
        monkeypatch.setattr(Path, "hardlink_to", link)
    file, copy = tmp_path / "f", tmp_path / "f.stale"
    copy.write_text("older")
    file.write_text("content")
    keep_copy(file, copy)
    assert (file.read_text(), copy.read_text()) == ("content", "content")
    assert len(list(tmp_path.iterdir())) == 2


def test_a_copy_that_cannot_be_kept_costs_neither_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "hardlink_to", no_links)
    monkeypatch.setattr("shutil.copy2", full)
    file, copy = tmp_path / "f", tmp_path / "f.stale"
    copy.write_text("older")
    file.write_text("content")
    with pytest.raises(OSError, match="No space left"):
        keep_copy(file, copy)
    assert (file.read_text(), copy.read_text()) == ("content", "older")
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("refusal", [errno.EINVAL, errno.ENOSYS])
def test_a_file_system_that_cannot_sync_is_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusal: int
) -> None:
    def refuse(descriptor: int) -> None:
        raise OSError(refusal, os.strerror(refusal))

    monkeypatch.setattr("mesh_common.files.os.fsync", refuse)
    write_atomically(tmp_path / "f", b"x", mode=0o600)
    assert (tmp_path / "f").read_bytes() == b"x"
