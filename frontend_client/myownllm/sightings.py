"""When each device was connected last, kept for people: the daemon forgets who has left (spec 08 §1.2)."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Final

import msgspec

from myownllm.coerce import as_object
from myownllm.files import read_json, write_durably

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

KEPT_DEVICES: Final = 500
"""Of one network, those seen last; a roster of that size is nobody's own devices."""


class Sightings:
    """`seen.json`: by network and device the milliseconds of its last moment here. Blocking, small, never raises."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def of(self, network: str) -> dict[str, int]:
        """Last moments of the devices of one network."""
        rows = as_object(as_object(read_json(self._path)).get(network))
        return {key: at for key, at in rows.items() if isinstance(at, int) and not isinstance(at, bool)}

    def note(self, network: str, moments: Mapping[str, int]) -> None:
        """These devices were here at these moments."""
        known = as_object(read_json(self._path))
        merged = sorted({**self.of(network), **moments}.items(), key=lambda row: row[1])[-KEPT_DEVICES:]
        with contextlib.suppress(OSError):
            write_durably(self._path, msgspec.json.encode({**known, network: dict(merged)}))


def moment(at_ms: int) -> str:
    """For people: the day and the hour, and only the hour of today."""
    try:
        at, today = time.localtime(at_ms / 1000), time.localtime()
    except (OverflowError, ValueError, OSError):  # the file holds any number
        return "an unknown time"
    return time.strftime("%H:%M" if at[:3] == today[:3] else "%Y-%m-%d %H:%M", at)
