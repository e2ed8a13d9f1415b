"""The second name of the control socket (spec 07 C14)."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio

from myownmesh.daemon.default_link import LOOK_AGAIN_S, DefaultLink

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    import pytest
    from trio.testing import MockClock


@asynccontextmanager
async def default_link(socket: Path, environ: Mapping[str, str]) -> AsyncIterator[None]:
    link = DefaultLink(socket, environ)
    async with trio.open_nursery() as nursery:
        await nursery.start(link.run)
        yield
        link.stop()


async def test_a_link_lives_as_long_as_the_daemon(tmp_path: Path) -> None:
    socket = tmp_path / "elsewhere" / "daemon.sock"
    environ = {"HOME": str(tmp_path), "MYOWNMESH_HOME": str(socket.parent)}
    link = tmp_path / ".myownmesh" / "daemon.sock"
    async with default_link(socket, environ):
        assert link.readlink() == socket
    assert not link.is_symlink()


async def test_what_is_there_is_never_touched(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    other = tmp_path / ".myownmesh" / "daemon.sock"
    other.parent.mkdir()
    other.write_text("another daemon's")
    async with default_link(tmp_path / "daemon.sock", {"HOME": str(tmp_path)}):
        assert other.read_text() == "another daemon's"
    assert other.exists()
    assert "something is there already" in caplog.text


async def test_a_dead_link_is_replaced_and_our_own_place_needs_none(tmp_path: Path) -> None:
    link = tmp_path / ".myownmesh" / "daemon.sock"
    link.parent.mkdir()
    link.symlink_to(tmp_path / "gone")
    async with default_link(tmp_path / "daemon.sock", {"HOME": str(tmp_path)}):
        assert link.readlink() == tmp_path / "daemon.sock"
    async with default_link(link, {"HOME": str(tmp_path)}):
        assert not link.is_symlink()


async def test_no_home_is_a_warning_and_a_home_that_comes_later_gets_its_link(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, autojump_clock: MockClock
) -> None:
    later = tmp_path / "absent" / "deeper"
    async with default_link(tmp_path / "daemon.sock", {"HOME": str(later)}):
        await trio.sleep(3 * LOOK_AGAIN_S)
        assert caplog.text.count("No such file or directory") == 1
        later.mkdir(parents=True)
        await trio.sleep(LOOK_AGAIN_S + 0.1)
        assert (later / ".myownmesh" / "daemon.sock").readlink() == tmp_path / "daemon.sock"


async def test_a_place_that_is_freed_and_a_link_that_is_lost_are_noticed(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    link = tmp_path / ".myownmesh" / "daemon.sock"
    link.parent.mkdir()
    link.write_text("another daemon's")
    async with default_link(tmp_path / "daemon.sock", {"HOME": str(tmp_path)}):
        for _ in range(2):
            link.unlink()
            await trio.sleep(LOOK_AGAIN_S + 0.1)
            assert link.readlink() == tmp_path / "daemon.sock"
