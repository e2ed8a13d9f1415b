"""Killed in front of any step of its swap, an update leaves a whole program on disk, and the next start repairs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from support.each_step import killed_in_front_of_each

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.slow
def test_killed_in_front_of_any_step_the_next_start_repairs(tmp_path: Path) -> None:
    """Spec 09 §10.6, F45, F46."""
    said = killed_in_front_of_each("integration.updates.killed", tmp_path)
    found = re.findall(r"(\w+): (\d+) steps forward, (\d+) steps back, (\d+) steps to be staged", said)
    assert [kind for kind, *_ in found] == ["file", "folder"]
    assert all(int(count) > 4 for _, *counts in found for count in counts), said
