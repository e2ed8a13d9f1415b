"""The daemon's data of an older layout moves into the own home, the key last (spec 08 §3.8)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from myownllm.home import AppHome
from myownllm.supervisor import migration

if TYPE_CHECKING:
    from pathlib import Path

FILES = {".secrets/identity.json": "key", "mesh/rosters/home.json": "approved", "mesh/states/home.json": "state"}


@pytest.fixture
def home(tmp_path: Path) -> AppHome:
    made = AppHome.at(tmp_path / "app", tmp_path / "shared")
    for name, text in FILES.items():
        path = made.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return made


def test_key_and_approvals_move_and_emptied_folders_go(home: AppHome) -> None:
    assert migration.is_due(home)
    assert migration.migrate(home) == []
    assert {name: (home.own_daemon / name).read_text() for name in FILES} == FILES
    assert [path.name for path in home.root.iterdir()] == [home.own_daemon.name]
    assert not migration.is_due(home)


def test_what_is_there_already_stays_on_both_sides_and_is_told(home: AppHome) -> None:
    kept = home.own_daemon / "mesh/rosters/home.json"
    kept.parent.mkdir(parents=True)
    kept.write_text("newer")
    [problem] = migration.migrate(home)
    assert "is there already" in problem
    assert kept.read_text() == "newer"
    assert (home.root / "mesh/rosters/home.json").read_text() == "approved"


def test_an_interrupted_move_is_taken_up_because_the_key_goes_last(
    home: AppHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    move, moved = migration.shutil.move, []

    def fails_at_the_key(source: Path, target: Path) -> None:
        if source.name == "identity.json":
            raise OSError(28, "No space left on device")
        moved.append(source.name)
        move(source, target)

    monkeypatch.setattr(migration.shutil, "move", fails_at_the_key)
    [problem] = migration.migrate(home)
    assert "No space left" in problem
    assert moved == ["home.json", "home.json"]
    monkeypatch.setattr(migration.shutil, "move", move)
    assert migration.is_due(home)
    assert migration.migrate(home) == []
    assert (home.own_daemon / ".secrets/identity.json").read_text() == "key"


def test_without_a_key_nothing_is_due(tmp_path: Path) -> None:
    assert not migration.is_due(AppHome.at(tmp_path / "app", tmp_path / "shared"))
