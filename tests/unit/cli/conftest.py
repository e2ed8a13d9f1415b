"""A home of its own and a scripted daemon for every test of the command line."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from unit.cli.fake_daemon import FakeDaemon, fake_daemon

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty data directory with a path short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="mesh") as directory:
        monkeypatch.setenv("MYOWNMESH_HOME", directory)
        yield Path(directory)


@pytest.fixture
def daemon(home: Path) -> Iterator[FakeDaemon]:
    """A daemon in that directory."""
    with fake_daemon(home / "daemon.sock") as running:
        yield running
