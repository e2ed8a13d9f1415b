"""What the reference's own updater answers, where it asks nobody: the answers that ours are held to (spec 05 §16)."""

from __future__ import annotations

import json
import os
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest

from mesh_common.client import blocking
from support.reference import REFERENCE, needs_reference
from unit.control.update_answers import ANSWERS, FRESH

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.slow, needs_reference]


def lines_of(home: Path, lines: list[str], **environ: str) -> list[Any]:
    """What a reference daemon of its own answers; it is given no request that would reach for the network."""
    home.mkdir()
    env = {"PATH": os.defpath, "HOME": str(home), "MYOWNMESH_HOME": str(home), **environ}
    daemon = subprocess.Popen([REFERENCE, "serve"], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 30
        while not (home / "daemon.sock").exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        with blocking.Connection(home / "daemon.sock", 30) as connection:
            return [json.loads(connection.exchange(line.encode() + b"\n")) for line in lines]
    finally:
        daemon.kill()
        daemon.wait()


def test_each_answer_is_that_of_the_reference(tmp_path: Path) -> None:
    fresh = {name: FRESH[name] for name in ("enabled", "channel", "auto_apply", "check_interval_hours")}
    back = json.dumps({"op": "update_set_prefs", "prefs": fresh})
    asked = [line for line, _ in ANSWERS for line in (line, back)]
    told = lines_of(tmp_path / "h", asked)[::2]
    assert told == [answer for _, answer in ANSWERS]


def test_switched_off_is_told_before_anything_else(tmp_path: Path) -> None:
    status, check = lines_of(
        tmp_path / "h", ['{"op":"update_status"}', '{"op":"update_check"}'], MYOWNMESH_AUTOUPDATE="False"
    )
    assert status["data"] == FRESH | {"enabled": False}
    assert check["data"] == {"outcome": "disabled"}
