from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from e2e.devices import Pair, demo

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def pair() -> Iterator[Pair]:
    """Two devices whose apps are up."""
    base = demo.temporary_base()
    made = Pair(base)
    try:
        made.up()
        yield made
    finally:
        made.stop()
        shutil.rmtree(base, ignore_errors=True)
