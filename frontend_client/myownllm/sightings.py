"""When each device was connected last, kept for people: the daemon forgets who has left (spec 08 §1.2)."""

from __future__ import annotations

import contextlib
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
