"""Pinned hosts: which device answers what, kept in this device's home (spec 08 FE-9.18).

`pins.json` holds device ids by purpose; a pin survives its device going offline and the app's restart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from myownllm.coerce import as_object
from myownllm.errors import HomeError
from myownllm.files import read_state, write_durably
from myownllm.ids import DEVICE_ID
from myownllm.inference.picks import PURPOSES

if TYPE_CHECKING:
    from pathlib import Path


class Pins:
    """The file, read each time: a command may have changed it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def all(self) -> dict[str, str]:
        """Device id by purpose; what is no pin in the file is none."""
        saved = as_object(read_state(self._path))
        return {p: k for p in PURPOSES if isinstance(k := saved.get(p), str) and DEVICE_ID.match(k)}

    def get(self, purpose: str) -> str | None:
        return self.all().get(purpose)

    def set(self, purpose: str, device: str | None) -> None:
        """Pin a device, or none. Raises HomeError, old file intact."""
        pins = {**self.all(), purpose: device}
        kept = {p: k for p, k in pins.items() if k is not None}
        try:
            write_durably(self._path, msgspec.json.format(msgspec.json.encode(kept), indent=2) + b"\n")
        except OSError as error:
            raise HomeError(f"the pin could not be saved in {self._path}: {error.strerror}") from None
