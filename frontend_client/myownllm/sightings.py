"""When each device was connected last, and what it was called, kept for people: the daemon forgets who has left or was
put out (spec 08 §1.2)."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Final

import msgspec

from mesh_common.labels import clean_label
from myownllm.coerce import as_object
from myownllm.files import read_json, write_durably

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

KEPT_DEVICES: Final = 500
"""Of one network, those seen last; a roster of that size is nobody's own devices."""


class Sightings:
    """`seen.json`: by network and device the milliseconds of its last moment here, and what it was called then.

    A release before labels wrote the bare milliseconds. Blocking, small, never raises.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def of(self, network: str) -> dict[str, int]:
        """Last moments of the devices of one network."""
        return {key: at for key, (at, _) in self._rows(network).items()}

    def labels(self, network: str) -> dict[str, str]:
        """What the devices of one network were called when they were here last, those without a name left out."""
        return {key: label for key, (_, label) in self._rows(network).items() if label}

    def note(self, network: str, moments: Mapping[str, tuple[int, str]]) -> None:
        """These devices were here at these moments, and were called so; without a name the one before stays."""
        known = as_object(read_json(self._path))
        rows = self._rows(network)
        for key, (at, label) in moments.items():
            rows[key] = at, clean_label(label) or rows.get(key, (0, ""))[1]
        kept = sorted(rows.items(), key=lambda row: row[1][0])[-KEPT_DEVICES:]
        with contextlib.suppress(OSError):
            write_durably(self._path, msgspec.json.encode({**known, network: dict(kept)}))

    def _rows(self, network: str) -> dict[str, tuple[int, str]]:
        found: dict[str, tuple[int, str]] = {}
        for key, row in as_object(as_object(read_json(self._path)).get(network)).items():
            match row:
                case bool():
                    pass
                case int() as at:
                    found[key] = at, ""
                case [int() as at, str() as label] if not isinstance(at, bool):
                    found[key] = at, clean_label(label)
        return found


def moment(at_ms: int) -> str:
    """For people: the day and the hour, and only the hour of today."""
    try:
        at, today = time.localtime(at_ms / 1000), time.localtime()
    except (OverflowError, ValueError, OSError):  # the file holds any number
        return "an unknown time"
    return time.strftime("%H:%M" if at[:3] == today[:3] else "%Y-%m-%d %H:%M", at)
