"""Each line of the page about links in trouble names a test, which is there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
TESTS = (
    "tests/simulation/test_recovery.py",
    "tests/simulation/test_moves.py",
    "tests/integration/lifecycle/test_recovery.py",
    "tests/integration/netwatch/test_moves.py",
    "tests/integration/netwatch/test_hubs.py",
    "tests/integration/netwatch/test_soak.py",
    "tests/integration/mesh/test_blocked_embedder.py",
)
MIXED = "tests/integration/reference/test_mixed_pairs.py"


def test_the_tests_that_the_page_names_are_there() -> None:
    page = (ROOT / "docs" / "recovery.md").read_text()
    named = set(re.findall(r"`(test_\w+)`", page))
    there = {name for path in (*TESTS, MIXED) for name in re.findall(r"def (test_\w+)", (ROOT / path).read_text())}
    assert len(named) > 12
    assert named <= there, named - there
