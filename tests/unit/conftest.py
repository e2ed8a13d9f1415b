"""Settings of the unit tests."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest
import trio

if TYPE_CHECKING:
    from trio.testing import MockClock


@pytest.fixture
def autojump_clock(autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch) -> MockClock:
    """Virtual time that stands still while a thread works: a thread has the machine's clock, and a jump meanwhile would
    be a deadline that passes without a reason."""
    in_thread = trio.to_thread.run_sync
    running, threshold = 0, 0.0

    async def run_sync(*args: Any, **options: Any) -> Any:
        nonlocal running, threshold
        if not running:
            threshold = autojump_clock.autojump_threshold
        running += 1
        autojump_clock.autojump_threshold = math.inf
        try:
            return await in_thread(*args, **options)
        finally:
            running -= 1
            if not running:
                autojump_clock.autojump_threshold = threshold

    monkeypatch.setattr(trio.to_thread, "run_sync", run_sync)
    return autojump_clock
