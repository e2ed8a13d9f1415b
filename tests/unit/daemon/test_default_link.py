"""The second name of the control socket (spec 07 C14)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from myownmesh.daemon.default_link import default_link

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_a_link_lives_as_long_as_the_daemon(tmp_path: Path) -> None:
    socket = tmp_path / "elsewhere" / "daemon.sock"
    environ = {"HOME": str(tmp_path), "MYOWNMESH_HOME": str(socket.parent)}
    link = tmp_path / ".myownmesh" / "daemon.sock"
    with default_link(socket, environ):
        assert link.readlink() == socket
    assert not link.is_symlink()


def test_what_is_there_is_never_touched(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    other = tmp_path / ".myownmesh" / "daemon.sock"
    other.parent.mkdir()
    other.write_text("another daemon's")
    with default_link(tmp_path / "daemon.sock", {"HOME": str(tmp_path)}):
        assert other.read_text() == "another daemon's"
    assert other.exists()
    assert "something is there already" in caplog.text


def test_a_dead_link_is_replaced_and_our_own_place_needs_none(tmp_path: Path) -> None:
    link = tmp_path / ".myownmesh" / "daemon.sock"
    link.parent.mkdir()
    link.symlink_to(tmp_path / "gone")
    with default_link(tmp_path / "daemon.sock", {"HOME": str(tmp_path)}):
        assert link.readlink() == tmp_path / "daemon.sock"
    with default_link(link, {"HOME": str(tmp_path)}):
        assert not link.is_symlink()


def test_no_home_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with default_link(tmp_path / "daemon.sock", {"HOME": str(tmp_path / "absent" / "deeper")}):
        assert "No such file or directory" in caplog.text
