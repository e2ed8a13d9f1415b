"""Draws the table of a peer's life into docs/engine.md. Run this file to write it; a test compares."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from myownmesh.engine.life import DROPS, LIFE, Stage

if TYPE_CHECKING:
    from myownmesh.engine.life import Turn

DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "engine.md"
BEGIN: Final = "<!-- life: begin, drawn by tests/support/life_diagram.py -->\n"
END: Final = "<!-- life: end -->\n"

_MARK: Final = {Stage.UNKNOWN: "[*]"}


def drawn() -> str:
    """A state diagram of the turns that lead on, and a table of those that end an entry."""
    return f"{_diagram()}\n{_endings()}"


def replaced(document: str) -> str:
    """The document with what stands between the marks drawn anew."""
    head, rest = document.split(BEGIN)
    tail = rest.split(END)[1]
    return f"{head}{BEGIN}\n{drawn()}\n{END}{tail}"


def _diagram() -> str:
    lines = ["```mermaid", "stateDiagram-v2"]
    for (stage, turn), to in LIFE.items():
        if to is not Stage.UNKNOWN:
            lines.append(f"    {_name(stage)} --> {_name(to)}: {turn.value.replace(':', ',')}")
    return "\n".join([*lines, "```"]) + "\n"


def _endings() -> str:
    stages = [stage for stage in Stage if stage is not Stage.UNKNOWN]
    ends = dict.fromkeys(turn for (_, turn), to in LIFE.items() if to is Stage.UNKNOWN)
    rows = [
        f"| {turn.value} | {_reason(turn)} | "
        + " | ".join("×" if (stage, turn) in LIFE else " " for stage in stages)
        + " |"
        for turn in ends
    ]
    head = "| what ends an entry | told as | " + " | ".join(stage.value for stage in stages) + " |"
    return "\n".join([head, "|---" * (2 + len(stages)) + "|", *rows]) + "\n"


def _reason(turn: Turn) -> str:
    return f"`{DROPS[turn].kind}`" if turn in DROPS else "nothing"


def _name(stage: Stage) -> str:
    return _MARK.get(stage, stage.value)


if __name__ == "__main__":
    DOCUMENT.write_text(replaced(DOCUMENT.read_text()))
