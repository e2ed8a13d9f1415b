"""How far a download is: what the callbacks get, and the terminal's way to show it."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass

from mesh_common.streams import put

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TextIO


@dataclass(frozen=True, slots=True)
class Progress:
    """State of one download. Sizes in bytes, `rate` in bytes per second, `remaining` in seconds."""

    asset: str
    done: int
    total: int | None
    rate: float
    finished: bool = False

    @property
    def fraction(self) -> float | None:
        return None if not self.total else min(1.0, self.done / self.total)

    @property
    def remaining(self) -> float | None:
        """Seconds left at this rate; None when unknown."""
        if self.total is None or self.rate <= 0:
            return None
        return max(0.0, (self.total - self.done) / self.rate)

    def text(self) -> str:
        """`12.3 of 40.1 MB, 5.2 MB/s, 5 s left`."""
        size = f"{_mega(self.done)} of {_mega(self.total)} MB" if self.total else f"{_mega(self.done)} MB"
        left = "" if self.remaining is None or self.finished else f", {self.remaining:.0f} s left"
        return f"{size}, {_mega(self.rate)} MB/s{left}"

    def to_json(self) -> dict[str, object]:
        return {
            "progress": self.asset,
            "done": self.done,
            "total": self.total,
            "rate": round(self.rate),
            "remaining_s": None if self.remaining is None else round(self.remaining, 1),
            "finished": self.finished,
        }


def reporter(mode: str, stream: TextIO | None = None) -> Callable[[Progress], None]:
    """A callback for `--progress auto|json|none`: one bar on a terminal, else a line per 10 % or 10 s."""
    out = stream or sys.stderr
    if mode == "none":
        return lambda _progress: None
    if mode == "json":
        return lambda progress: put(json.dumps(progress.to_json()), out)
    return _Bar(out) if out.isatty() else _Lines(out)


class _Bar:
    _WIDTH = 30

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def __call__(self, progress: Progress) -> None:
        filled = round(self._WIDTH * (progress.fraction or 0))
        bar = "█" * filled + "░" * (self._WIDTH - filled)
        end = "\n" if progress.finished else ""
        put(f"\r\x1b[2K{progress.asset} {bar} {progress.text()}", self._out, end=end)


class _Lines:
    _EVERY_SECONDS = 10.0

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._tenth, self._at = -1, 0.0

    def __call__(self, progress: Progress) -> None:
        tenth, now = int((progress.fraction or 0) * 10), time.monotonic()
        if progress.finished or tenth > self._tenth or now - self._at >= self._EVERY_SECONDS:
            self._tenth, self._at = tenth, now
            put(f"{progress.asset}: {progress.text()}", self._out)


def _mega(count: float) -> str:
    return f"{count / 1_000_000:.1f}"
