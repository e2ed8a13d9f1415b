from __future__ import annotations

import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from e2e.devices import Pair, demo

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def running() -> Iterator[Pair]:
    base = demo.temporary_base()
    made = Pair(base)
    try:
        made.up()
        yield made
    finally:
        made.stop()
        shutil.rmtree(base, ignore_errors=True)


@pytest.fixture
def pair() -> Iterator[Pair]:
    """Two devices whose apps are up."""
    with running() as made:
        yield made


@pytest.fixture(scope="module")
def strangers() -> Iterator[Pair]:
    """Two devices whose apps are up, for all tests of a file, each of which leaves both running."""
    with running() as made:
        yield made


@pytest.fixture(scope="module")
def friends() -> Iterator[Pair]:
    """Two connected devices for all tests of a file, each of which leaves them as it would like to find them."""
    with running() as made:
        made.meet()
        yield made
