"""docs/governance.md says of roles what the rules say."""

from __future__ import annotations

from support.governance_table import DOCUMENT, replaced


def test_the_table_of_roles_is_that_of_the_rules() -> None:
    text = DOCUMENT.read_text("utf-8")
    assert replaced(text) == text
