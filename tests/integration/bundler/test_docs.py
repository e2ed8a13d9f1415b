"""docs/bundler.md is executed: its commands run in order and print what it says (… stands for anything)."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from integration.bundler.test_command import Shell

if TYPE_CHECKING:
    from integration.bundler.bench import Machine

DOCUMENT = Path(__file__).parents[3] / "docs" / "bundler.md"


def sessions() -> list[tuple[str, list[str]]]:
    """(command, expected lines) of every console block."""
    found: list[tuple[str, list[str]]] = []
    for block in re.findall(r"```console\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append((line[2:], []))
            else:
                found[-1][1].append(line)
    return found


def test_the_document_says_what_happens(machine: Machine) -> None:
    shell = Shell(machine)
    assert len(sessions()) > 8
    for command, expected in sessions():
        program, *arguments = shlex.split(command)
        assert program == "mesh-bundler"
        done = shell(*arguments)
        said = [*done.stderr.splitlines(), *done.stdout.splitlines()]
        assert done.returncode == 0, f"{command}: {said}"
        for line in expected:
            pattern = ".*".join(re.escape(part) for part in line.split("…"))
            assert any(re.fullmatch(pattern, row) for row in said), f"{command}: no {line!r} in {said}"
