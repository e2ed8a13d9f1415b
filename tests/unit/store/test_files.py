"""Durable files: whole or not at all (spec 07 §3)."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest

from myownmesh.store.files import (
    KEPT_COPIES,
    atomic_write,
    private_directory,
    quarantine,
    set_copy_aside,
    tighten,
    tighten_file,
)

if TYPE_CHECKING:
    from pathlib import Path


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_file_is_private(tmp_path: Path) -> None:
    atomic_write(tmp_path / "f", b"one")
    assert (tmp_path / "f").read_bytes() == b"one"
    assert mode(tmp_path / "f") == 0o600


def test_a_looser_mode_is_tightened_and_a_stricter_one_kept(tmp_path: Path) -> None:
    for before, after in ((0o644, 0o600), (0o400, 0o400)):
        file = tmp_path / oct(before)
        file.write_bytes(b"old")
        file.chmod(before)
        atomic_write(file, b"new")
        assert file.read_bytes() == b"new"
        assert mode(file) == after


def test_a_symlink_stays_and_its_target_changes(tmp_path: Path) -> None:
    target = tmp_path / "elsewhere" / "real"
    target.parent.mkdir()
    target.write_bytes(b"old")
    link = tmp_path / "link"
    link.symlink_to(target)
    atomic_write(link, b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"


def test_quarantine_keeps_the_newest_under_the_plain_name_and_older_ones_numbered(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    for number in range(KEPT_COPIES + 4):
        file.write_text(str(number))
        assert quarantine(file, "bad") == tmp_path / "config.json.corrupt"
        assert not file.exists()
    last = KEPT_COPIES + 3
    assert (tmp_path / "config.json.corrupt").read_text() == str(last)
    assert (tmp_path / "config.json.corrupt.1").read_text() == str(last - 1)
    assert len(list(tmp_path.iterdir())) == KEPT_COPIES + 1


def test_an_immovable_file_stays(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert quarantine(tmp_path / "absent", "bad") is None
    assert "could not be set aside" in caplog.text


def test_the_same_copy_is_kept_once(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    assert set_copy_aside(file, b"a", "part") == set_copy_aside(file, b"a", "part")
    assert [entry.name for entry in tmp_path.iterdir()] == ["config.json.corrupt"]
    set_copy_aside(file, b"b", "part")
    assert (tmp_path / "config.json.corrupt.1").read_bytes() == b"a"


def test_directories_are_created_private(tmp_path: Path) -> None:
    made = tmp_path / "a" / "b"
    private_directory(made)
    private_directory(made)
    assert mode(made) == 0o700


@pytest.mark.parametrize(("passers_by", "after"), [(0, 0o700), (0o010, 0o710), (0o011, 0o711)])
def test_a_loose_directory_is_tightened_to_what_is_needed(tmp_path: Path, passers_by: int, after: int) -> None:
    for before in (0o755, 0o775, 0o700):
        tmp_path.chmod(before)
        tighten(tmp_path, passers_by=passers_by)
        assert mode(tmp_path) == after


def test_a_directory_shared_on_purpose_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o1777)
    tighten(tmp_path)
    assert mode(tmp_path) == 0o1777
    tmp_path.chmod(0o755)
    monkeypatch.setenv("HOME", str(tmp_path))
    tighten(tmp_path)
    assert mode(tmp_path) == 0o755


def test_a_key_file_that_others_may_read_is_closed_to_them(tmp_path: Path) -> None:
    path = tmp_path / "identity.json"
    for before, after in ((0o644, 0o600), (0o666, 0o600), (0o440, 0o400), (0o400, 0o400)):
        path.touch()
        path.chmod(before)
        tighten_file(path)
        assert path.stat().st_mode & 0o777 == after
        path.unlink()
    tighten_file(path)
    assert not path.exists()
