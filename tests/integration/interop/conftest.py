"""The daemon that the tests of a module share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from integration.interop.stage import started

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.daemons import Daemon


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A running daemon of ours."""
    yield from started(tmp_path_factory.mktemp("interop") / "home")
