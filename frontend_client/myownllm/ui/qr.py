"""Texts as QR codes for the page."""

from __future__ import annotations

from typing import Any

import segno


def outline(text: str) -> dict[str, Any]:
    """A QR code as the outline of an SVG path: one unit a module, four free ones around it."""
    code = segno.make(text, error="l", micro=False)
    size, _ = code.symbol_size(border=4)
    squares = (
        f"M{x + 4} {y + 4}h1v1h-1z" for y, row in enumerate(code.matrix) for x, is_dark in enumerate(row) if is_dark
    )
    return {"size": size, "path": "".join(squares)}
