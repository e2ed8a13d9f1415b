"""Virtual time beside threads."""

from __future__ import annotations

import math
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
import trio

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trio.testing import MockClock


@contextmanager
def standing_still_for_threads(clock: MockClock) -> Iterator[MockClock]:
    """Virtual time that stands still while a thread works: a thread has the machine's clock, and a jump meanwhile would
    be a deadline that passes without a reason."""
    in_thread = trio.to_thread.run_sync
    running, threshold = 0, 0.0

    async def run_sync(*args: Any, **options: Any) -> Any:
        nonlocal running, threshold
        if not running:
            threshold = clock.autojump_threshold
        running += 1
        clock.autojump_threshold = math.inf
        try:
            return await in_thread(*args, **options)
        finally:
            running -= 1
            if not running:
                clock.autojump_threshold = threshold

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trio.to_thread, "run_sync", run_sync)
        yield clock
