"""The marker of a staged update as v0.3.8 writes it: read for a home that both share, never written (spec 09 §10.5).

Pure.
"""

from __future__ import annotations

_KINDS = ("daemon", "gui")


def artifacts(document: object) -> list[tuple[str, str]]:
    """What a ``pending.json`` has staged, as (kind, path): known kinds, else the old form with one path."""
    if not isinstance(document, dict):
        return []
    rows = document.get("artifacts")
    found = [
        (row["kind"], row["path"])
        for row in (rows if isinstance(rows, list) else ())
        if isinstance(row, dict) and row.get("kind") in _KINDS and isinstance(row.get("path"), str)
    ]
    path = document.get("path")
    return found or ([("daemon", path)] if isinstance(path, str) else [])
