"""Settings of the unit tests."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from support.virtual_time import standing_still_for_threads

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from trio.testing import MockClock


@pytest.fixture
def autojump_clock(autojump_clock: MockClock) -> Iterator[MockClock]:
    with standing_still_for_threads(autojump_clock) as clock:
        yield clock


def pytest_configure(config: pytest.Config) -> None:
    what = "a dear test of a pure room that reaches no branch that others do not; its coverage is not measured"
    config.addinivalue_line("markers", f"unwatched: {what}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    """A test marked `unwatched` takes half as long where `scripts/branches` does not watch it.

    What such a test alone reached is missed there, so the mark of its room says when one is marked wrongly.
    """
    coverage = sys.modules.get("coverage")
    watcher = coverage and item.get_closest_marker("unwatched") and coverage.Coverage.current()
    if not watcher:
        return (yield)
    watcher.stop()
    try:
        return (yield)
    finally:
        watcher.start()
