"""Counting calls: what work costs, without a clock."""

from __future__ import annotations

import gc
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from attrs import define

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType


@define
class Calls:
    """Calls of Python functions so far."""

    count: int = 0

    def since(self, before: int) -> int:
        return self.count - before


@contextmanager
def counted() -> Iterator[Calls]:
    """Count the calls that are made within, of this thread. Garbage waits meanwhile: hypothesis is told of each run."""
    calls = Calls()

    def count(_frame: FrameType, event: str, _arg: Any) -> None:
        calls.count += event == "call"

    before, collects = sys.getprofile(), gc.isenabled()
    gc.disable()
    sys.setprofile(count)
    try:
        yield calls
    finally:
        sys.setprofile(before)
        if collects:
            gc.enable()
