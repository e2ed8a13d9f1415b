"""Writes the table of reasons into docs/why.md from `engine/why.py`. Run this file to write it; a test compares."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from myownmesh.engine.why import CODES

DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "why.md"
BEGIN: Final = "<!-- codes: begin, written by tests/support/why_table.py -->\n"
END: Final = "<!-- codes: end -->\n"


def replaced(document: str) -> str:
    """The document with the table between the marks written anew."""
    head, rest = document.split(BEGIN)
    tail = rest.split(END)[1]
    rows = "".join(f"| `{code}` | {meaning} |\n" for code, meaning in CODES.items())
    return f"{head}{BEGIN}\n| code | what it means |\n|---|---|\n{rows}\n{END}{tail}"


if __name__ == "__main__":
    DOCUMENT.write_text(replaced(DOCUMENT.read_text()))
