"""A program of the tests that is killed in front of each step of something, run to its end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]


def killed_in_front_of_each(module: str, folder: Path) -> str:
    """What it says. In a process of its own, which forks once for each step (`support.killed_swaps`)."""
    done = subprocess.run(
        [sys.executable, "-m", module, str(folder)], cwd=TESTS, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
