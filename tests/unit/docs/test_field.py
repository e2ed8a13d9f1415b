"""docs/field.md is true to the tests: each row names tests that exist."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docs" / "field.md").read_text("utf-8")
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in TEXT.splitlines()
    if line.startswith("| ") and not line.startswith("| report")
]
NAMED = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")


@cache
def functions(path: str) -> frozenset[str]:
    tree = ast.parse((ROOT / path).read_text("utf-8"))
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def problems(tests: str) -> list[str]:
    """What is wrong with the last cell of a row."""
    named = NAMED.findall(tests)
    found = [] if named else ["names no test"]
    found += [f"there is no {path}" for path, _ in named if not (ROOT / path).is_file()]
    found += [
        f"{path} has no {name}"
        for path, name in named
        if name and (ROOT / path).is_file() and not (name.startswith("test_") and name in functions(path))
    ]
    if re.sub(r"[,\s]", "", NAMED.sub("", tests)):
        found.append("says more than names of tests")
    return found


def test_there_are_thirty_reports() -> None:
    assert len(ROWS) >= 30
    assert all(len(row) == 4 and all(row) for row in ROWS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0][:40])
def test_what_holds_a_row_exists(row: list[str]) -> None:
    assert not problems(row[3])


@pytest.mark.parametrize(
    "tests",
    [
        "",
        "by hand",
        "`tests/unit/docs/test_nothing.py`",
        "`tests/unit/docs/test_field.py::test_nothing`",
        "`tests/unit/docs/test_field.py::problems`",
        "`tests/unit/docs/test_field.py`, and by hand",
    ],
)
def test_a_row_that_nothing_holds_is_seen(tests: str) -> None:
    assert problems(tests)


def test_the_table_is_found_from_the_readme_and_the_map() -> None:
    assert "(docs/field.md)" in (ROOT / "README.md").read_text("utf-8")
    assert "(field.md)" in (ROOT / "docs" / "architecture.md").read_text("utf-8")
