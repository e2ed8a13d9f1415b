"""Downloads under way: a partial file and the note that says what it is part of (spec 09 §8.3)."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING

from mesh_bundler.files import file_refusal
from mesh_common.files import read_regular, write_atomically

if TYPE_CHECKING:
    from pathlib import Path

_NOTE_MAX_BYTES = 65_536
"""Bytes; ours take a few hundred."""


def _notes(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def note(part: Path, url: str, etag: str | None, total: int | None) -> None:
    data = json.dumps({"url": url, "etag": etag, "total": total}).encode()
    try:
        write_atomically(_notes(part), data, mode=0o600)
    except OSError as error:
        raise file_refusal(error, part) from error


def resumable(part: Path, url: str, limit: int) -> tuple[int, str | None]:
    """(bytes on disk, strong ETag) when continuing makes sense, else (0, None)."""
    try:
        note, have = json.loads(read_regular(_notes(part), _NOTE_MAX_BYTES)), part.stat().st_size
        etag, total = note["etag"], note["total"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return 0, None
    strong = isinstance(etag, str) and etag.startswith('"')
    if not strong or note.get("url") != url or not 0 < have < (total if isinstance(total, int) else limit):
        return 0, None
    return have, etag


def drop(part: Path) -> None:
    """Remove a part and the note about it."""
    for path in (part, _notes(part)):
        with contextlib.suppress(OSError):
            path.unlink()
