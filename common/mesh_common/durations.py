"""Times as people type them: `30s`, `15m`, `2h`, `7d`."""

from __future__ import annotations

import re
from typing import Final

UNITS_S: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def whole_seconds(text: str, most_s: int) -> int | None:
    """The seconds in such a text; None for another text, for no time at all, and for more than `most_s`."""
    found = re.fullmatch(r"0*(\d{1,7})([smhd])", text)
    span_s = int(found[1]) * UNITS_S[found[2]] if found else 0
    return span_s if 0 < span_s <= most_s else None
