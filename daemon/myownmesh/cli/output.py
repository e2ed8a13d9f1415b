"""How answers are shown: tables for a person at a terminal, JSON for programs (spec 07 §6.1)."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING

from myownmesh.cli.errors import CliError
from myownmesh.store.errors import os_error_text

if TYPE_CHECKING:
    from collections.abc import Callable


def emit(data: object, *, as_json: bool, table: Callable[[object], str] | None = None) -> None:
    """Print an answer: by `table` on a terminal, else as pretty JSON with sorted keys and one final LF."""
    if table is not None and not as_json and sys.stdout is not None and sys.stdout.isatty():
        text = table(data)
    else:
        text = json.dumps(data, indent=2, sort_keys=True, ensure_ascii=False)
    write_line(text)


def write_line(text: str) -> None:
    """Print a text as UTF-8 whatever the locale says, so that JSON stays JSON, and hand it over at once."""
    if sys.stdout is None:  # closed by the caller
        return
    try:
        sys.stdout.flush()
        sys.stdout.buffer.write(text.encode("utf-8", "surrogateescape") + b"\n")
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        # What could not be written stays in the buffer; at exit the interpreter would fail at it once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise CliError(f"write output: {os_error_text(error)}") from error
