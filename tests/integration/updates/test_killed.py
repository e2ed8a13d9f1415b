"""Killed in front of any step of its swap, an update leaves a whole program on disk, and the next start repairs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[2]


@pytest.mark.slow
def test_killed_in_front_of_any_step_the_next_start_repairs(tmp_path: Path) -> None:
    """Spec 09 §10.6, F45, F46. In a process of its own, which forks once for each step."""
    done = subprocess.run(
        [sys.executable, "-m", "integration.updates.killed", str(tmp_path)],
        cwd=TESTS,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = re.findall(r"(\w+): (\d+) steps forward, (\d+) steps back, (\d+) steps to be staged", done.stdout)
    assert [kind for kind, *_ in found] == ["file", "folder"]
    assert all(int(count) > 4 for _, *counts in found for count in counts), done.stdout
