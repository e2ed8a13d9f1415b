"""Real processes whose wall clock is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.preloaded import build as built
from support.preloaded import missing

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["build", "environment", "missing"]


def build(folder: Path) -> Path:
    """Compile the library into `folder`."""
    return built("wrong_clock", folder)


def environment(library: Path, wrong_by_s: int) -> dict[str, str]:
    """What to start a program with so that its wall clock is so many seconds ahead."""
    return {"LD_PRELOAD": str(library), "WRONG_BY": str(wrong_by_s)}
