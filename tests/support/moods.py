"""Processes whose wall clock jumps and whose disks fill up and empty again, while they run."""

from __future__ import annotations

import mmap
import struct
from typing import TYPE_CHECKING

from support.preloaded import build

if TYPE_CHECKING:
    from pathlib import Path

_LAYOUT = struct.Struct("@ll")


class Moods:
    """What the processes with this environment experience now."""

    def __init__(self, folder: Path) -> None:
        self._library, path = build("moods", folder), folder / "moods"
        path.write_bytes(bytes(_LAYOUT.size))
        with path.open("r+b") as file:
            self._shared = mmap.mmap(file.fileno(), _LAYOUT.size)
        self.environment = {"LD_PRELOAD": str(self._library), "MOODS": str(path)}

    def set(self, *, wrong_by_s: int = 0, is_full: bool = False) -> None:
        self._shared[:] = _LAYOUT.pack(wrong_by_s, is_full)
