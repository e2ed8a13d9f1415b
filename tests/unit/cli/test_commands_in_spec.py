"""No command is added without a line of the specification (10, first paragraph)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer.main

from myownmesh.cli.app import app

if TYPE_CHECKING:
    from collections.abc import Iterator

SPEC = Path(__file__).parents[3] / "docs" / "spec"
LINES = [
    line
    for part in ("07-config-files-cli.md", "10-extensions.md")
    for line in (SPEC / part).read_text("utf-8").splitlines()
]


def commands(group: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every command below, by its words."""
    if not hasattr(group, "list_commands"):
        yield words
        return
    for name in group.list_commands(None):
        yield from commands(group.get_command(None, name), (*words, name))


def is_named(words: tuple[str, ...]) -> bool:
    *groups, name = words
    begin, word = " ".join(groups), re.compile(rf"(?<![\w-]){re.escape(name)}(?![\w-])")
    return any(begin in line and word.search(line) for line in LINES)


def test_every_command_stands_in_the_specification() -> None:
    found = [*commands(typer.main.get_command(app))]
    assert ("ctl", "services", "offers") in found
    assert [" ".join(words) for words in found if not is_named(words)] == []
