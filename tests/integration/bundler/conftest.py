"""Fixtures of the bundler's integration tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from integration.bundler.bench import Machine, publish
from integration.bundler.release_server import ReleaseServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def server() -> Iterator[ReleaseServer]:
    """A release host with the pinned release on it."""
    with ReleaseServer().running() as host:
        publish(host)
        yield host


@pytest.fixture
def machine(tmp_path: Path, server: ReleaseServer) -> Machine:
    """A build machine whose feed is the release host."""
    return Machine(tmp_path, server)
