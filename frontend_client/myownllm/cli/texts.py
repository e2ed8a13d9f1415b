"""How values are written: sizes for people, JSON for programs."""

from __future__ import annotations

from typing import Any

import msgspec


def size_text(size: int) -> str:
    """Bytes for people, in powers of a thousand."""
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size} bytes"


def json_text(value: Any) -> bytes:
    """What is told as JSON; a path in it may hold what is no text."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        from mesh_common.readable import readable_values  # hardly ever needed

        return msgspec.json.encode(readable_values(msgspec.to_builtins(value)))
