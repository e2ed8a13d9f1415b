"""A service's own folder, and what a killed daemon left of one."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from myownmesh.services.own_folder import own_folder

if TYPE_CHECKING:
    import pytest

PREFIX = "of-a-relay-"


def test_folders_without_an_owner_go_when_the_next_one_comes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    left, before, begun, elses, full = (tmp_path / f"{PREFIX}{each}" for each in ("1", "2", "3", "4", "5"))
    left.mkdir()
    (left / "owner").touch()
    (left / "0.sock").touch()
    long_ago = time.time() - 3600
    for each in (before, begun, full):
        each.mkdir()
    (full / "something").touch()
    for each in (before, full):
        os.utime(each, (long_ago, long_ago))
    elses.symlink_to(full)
    (tmp_path / f"{PREFIX}6").touch()
    with own_folder(PREFIX) as one:
        assert not left.exists()
        assert not before.exists(), "an older version has none that says whose it is"
        with own_folder(PREFIX) as other:
            names = {Path(each).name for each in (one, other, begun, elses, full)} | {f"{PREFIX}6"}
            assert {each.name for each in tmp_path.iterdir()} == names
            assert (full / "something").exists()
    assert not Path(one).exists()
    assert not Path(other).exists()
