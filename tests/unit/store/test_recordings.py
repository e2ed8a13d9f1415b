"""Recordings in the home: private, named by network and time, and not more than a few."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from myownmesh.store import StoreError, open_store
from myownmesh.store.paths import Home
from myownmesh.store.store import KEPT_RECORDINGS

if TYPE_CHECKING:
    from pathlib import Path


def test_the_newest_are_kept(tmp_path: Path) -> None:
    with open_store(Home(tmp_path)) as store:
        paths = [store.save_recording("home", number, b"x") for number in range(KEPT_RECORDINGS + 3)]
        assert paths[-1] == tmp_path / "recordings" / f"home-{KEPT_RECORDINGS + 2}.jsonl"
        assert paths[-1].stat().st_mode & 0o777 == 0o600
        assert len(list(paths[0].parent.iterdir())) == KEPT_RECORDINGS
        assert paths[-1].exists()


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "recordings").write_text("a file")
    with open_store(Home(tmp_path)) as store, pytest.raises(StoreError, match="recordings"):
        store.save_recording("home", 1, b"x")
