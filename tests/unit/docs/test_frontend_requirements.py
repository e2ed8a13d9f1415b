"""Every requirement and failure mode of spec 08 is shown by some test, which names it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from support.specification import anchors, references

ROOT = Path(__file__).parents[3]
PART = ROOT / "docs" / "spec" / "08-frontend.md"
SCREEN = tuple(f"FE-10.{n}" for n in (1, 2, 3, 4, 5, 7, 8, 9))
"""Of §10 what one test can show."""

NOT_OURS = {
    "FE-3.4": "named pipes: Windows",
    "FE-3.6": "how the first release judged binaries; FE-3.7 stands in its place",
    "FE-3.18": "the parent of a GUI process: Windows",
    "FE-3.23": "how the first release was packaged; part 09 stands in its place",
    "FE-4.13": "what remote calls do not do; FE-4.14 names the rules that answer it",
    "FE-4.14": "names other rules",
    "FE-8.1": "what the first release lacked; FE-8.2 to FE-8.5 stand in its place",
    "FE-8.8": "a second way for daemons before 0.1.4, which no pin allows",
    "FE-9.44": "may be, and is not: jitter of the gossip timer",
    "FE-12.53": "sharing violations: Windows",
}


def required() -> list[str]:
    text = PART.read_text(encoding="utf-8")
    named = [name for name in anchors(text) if name.startswith("FE-")]
    rows = [f"FE-12.{name.removeprefix('12-')}" for name in anchors(text) if re.fullmatch(r"12-\d+", name)]
    return [name for name in (*named, *rows) if not name.startswith("FE-10.") or name in SCREEN]


def cited() -> set[str]:
    found = set()
    for path in (ROOT / "tests").rglob("*.py"):
        if path != Path(__file__):
            for reference in references(path.read_text(encoding="utf-8")):
                if reference.part == "08":
                    found.add(re.sub(r"^12-(?=\d+$)", "FE-12.", reference.anchor))
    return found


@pytest.mark.heavy
def test_every_requirement_of_the_app_is_named_by_a_test() -> None:
    known = cited() | NOT_OURS.keys()
    missing = [name for name in required() if name not in known]
    assert missing == [], "show it in a test and name it there"


@pytest.mark.heavy
def test_what_is_excused_is_there_and_not_shown_after_all() -> None:
    assert NOT_OURS.keys() <= set(required())
    assert not NOT_OURS.keys() & cited()
