"""Durations as people write them. This module costs no import of typer until one is wrong."""

from __future__ import annotations

import re

from mesh_common.durations import UNITS_S

_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)([smhd]?)")
_SECONDS_OF = {"": 1, **UNITS_S}


def seconds(text: str) -> float:
    """Seconds in `90`, `90s`, `15m`, `2h` or `30d`. Raises `typer.BadParameter`."""
    found = _DURATION.fullmatch(text)
    if found is None:
        from typer import BadParameter

        raise BadParameter(f"{text!r} is not a duration such as 90s, 15m, 2h or 30d")
    return float(found[1]) * _SECONDS_OF[found[2]]
