"""Text for a terminal: columns that line up whatever stands in them, and nothing that moves the cursor."""

from __future__ import annotations

import unicodedata

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def columns(rows: Sequence[Sequence[str]], headings: Sequence[str]) -> str:
    """Rows aligned below their headings, without blanks at the ends of lines."""
    table = [[printable(cell) for cell in row] for row in (headings, *rows)]
    widths = [max(width(row[index]) for row in table) for index in range(len(headings))]
    return "\n".join(
        "  ".join(cell + " " * (room - width(cell)) for cell, room in zip(row, widths, strict=True)).rstrip()
        for row in table
    )


def facts(pairs: Mapping[str, str]) -> str:
    """One ``name  value`` line per member."""
    room = max((len(name) for name in pairs), default=0)
    return "\n".join(f"{printable(name):<{room}}  {printable(value)}" for name, value in pairs.items())


def printable(text: str) -> str:
    """The text with every control or format character replaced: labels come from other people's devices."""
    return text if text.isprintable() else "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def width(text: str) -> int:
    """Cells that a terminal uses for the text."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)
