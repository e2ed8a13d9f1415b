"""docs/governance.md says of roles and of what waits what the rules say."""

from __future__ import annotations

from support.governance_table import DOCUMENT, replaced


def test_tables_and_diagram_are_those_of_the_rules() -> None:
    text = DOCUMENT.read_text("utf-8")
    assert replaced(text) == text
