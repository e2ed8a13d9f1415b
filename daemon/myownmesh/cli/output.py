"""How answers are shown: tables for a person at a terminal, JSON for programs (spec 07 §6.1)."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def emit(data: object, *, as_json: bool, table: Callable[[object], str] | None = None) -> None:
    """Print an answer: by `table` on a terminal, else as pretty JSON with sorted keys and one final LF."""
    if table is not None and not as_json and sys.stdout.isatty():
        text = table(data)
    else:
        text = json.dumps(data, indent=2, sort_keys=True, ensure_ascii=False)
    write_line(text)


def write_line(text: str) -> None:
    """Print a text as UTF-8 whatever the locale says, so that JSON stays JSON, and hand it over at once."""
    sys.stdout.flush()
    sys.stdout.buffer.write(text.encode("utf-8", "surrogateescape") + b"\n")
    sys.stdout.buffer.flush()
