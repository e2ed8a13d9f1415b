"""Killed at any moment, or on a full disk, an installation leaves the old Caddyfile or the new one (spec 06 §10)."""

from __future__ import annotations

import json
import os
import re
import subprocess
from typing import TYPE_CHECKING

from support.daemons import MYOWNMESH
from support.each_step import killed_in_front_of_each
from support.moods import Moods
from support.tools import needs

if TYPE_CHECKING:
    from pathlib import Path


def test_killed_in_front_of_any_step_the_next_installation_ends_it(tmp_path: Path) -> None:
    said = killed_in_front_of_each("integration.caddy.killed", tmp_path)
    counts = re.fullmatch(r"(\d+) steps where it is taken, (\d+) where it is refused\n", said)
    assert counts is not None, said
    assert all(int(count) > 8 for count in counts.groups())


@needs("caddy", "caddy", "a full disk is not tried with a real Caddy")
def test_a_full_disk_changes_nothing(tmp_path: Path) -> None:
    moods, file = Moods(tmp_path), tmp_path / "caddy" / "Caddyfile"
    file.parent.mkdir()
    file.write_text("{\n\tadmin off\n}\n")
    moods.set(is_full=True)
    done = subprocess.run(
        [MYOWNMESH, "install", "caddy", "a.localhost", "--relay-only", "--caddyfile", file, "--json"],
        env={**os.environ, "HOME": str(tmp_path), "MYOWNMESH_HOME": str(tmp_path), **moods.environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "No space left on device" in json.loads(done.stdout)["error"]
    assert [path.name for path in file.parent.iterdir()] == ["Caddyfile"]
    assert file.read_text() == "{\n\tadmin off\n}\n"
