"""Settings of the unit tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.virtual_time import standing_still_for_threads

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trio.testing import MockClock


@pytest.fixture
def autojump_clock(autojump_clock: MockClock) -> Iterator[MockClock]:
    with standing_still_for_threads(autojump_clock) as clock:
        yield clock
