"""The socket file: private, never stolen, cleaned up by its owner only."""

from __future__ import annotations

import os
import socket
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio

from integration.control.harness import connect_blocking, serving
from myownmesh.control import server
from myownmesh.control.peer_check import PeerPolicy, peer_uid
from myownmesh.control.socket_file import MAX_PATH_BYTES, ControlSocketError, bind
from unit.control.fake_mesh import as_mesh

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


async def test_file_and_folder_are_for_the_owner_only(folder: Path) -> None:
    path = folder / "home" / "daemon.sock"
    before = os.umask(0)
    try:
        bound = await bind(path, PeerPolicy())
        assert os.umask(0) == 0, "the umask is what it was"
    finally:
        os.umask(before)
    assert (mode(path), mode(path.parent)) == (0o600, 0o700)
    bound.close()
    assert not path.exists()


@pytest.mark.parametrize("what", ["file", "folder"])
async def test_a_file_that_somebody_removes_is_made_anew(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "SWEEP_SECONDS", 0.05)
    async with serving() as running:
        inside = await running.connect()
        running.path.unlink()
        if what == "folder":
            running.path.parent.rmdir()
        with trio.fail_after(10):
            while not running.path.exists():
                await trio.sleep(0.01)
        for client in (inside, await running.connect()):
            assert (await client.ask({"op": "status"}))["ok"]
        assert mode(running.path) == 0o600
    assert not running.path.exists()


async def test_a_file_that_cannot_be_made_anew_yet_comes_later(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(server, "SWEEP_SECONDS", 0.02)
    async with serving() as running:
        home = running.path.parent
        running.path.unlink()
        home.rmdir()
        home.symlink_to("nowhere")  # in its place, and leading to nothing
        with trio.fail_after(10):
            while "cannot be made anew yet" not in caplog.text:  # a log has no event
                await trio.sleep(0.01)
            home.unlink()
            while not running.path.exists():
                await trio.sleep(0.01)


async def test_what_somebody_else_has_put_there_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "SWEEP_SECONDS", 0.02)
    async with serving() as running:
        running.path.unlink()
        running.path.write_text("not ours")
        await trio.sleep(0.2)
        assert running.path.read_text() == "not ours"


async def test_the_compatibility_switch_leaves_the_mode_to_the_umask(folder: Path) -> None:
    path = folder / "daemon.sock"
    before = os.umask(0o022)
    try:
        bound = await bind(path, PeerPolicy(any_local_user=True))
    finally:
        os.umask(before)
    assert mode(path) == 0o755
    bound.close()


async def test_a_group_may_be_let_in(folder: Path) -> None:
    grp = pytest.importorskip("grp")
    group = grp.getgrgid(os.getegid()).gr_name
    path = folder / "daemon.sock"
    bound = await bind(path, PeerPolicy(group=group))
    assert mode(path) == 0o660
    assert path.lstat().st_gid == os.getegid()
    bound.close()


async def test_an_unknown_group_is_named(folder: Path) -> None:
    path = folder / "daemon.sock"
    with pytest.raises(ControlSocketError, match="socket_group names the group 'no-such-group'"):
        await bind(path, PeerPolicy(group="no-such-group"))
    assert not path.exists()


async def test_a_stale_file_is_replaced(folder: Path) -> None:
    path = folder / "daemon.sock"
    left_behind = socket.socket(socket.AF_UNIX)
    left_behind.bind(str(path))
    left_behind.close()
    bound = await bind(path, PeerPolicy())
    connect_blocking(path).close()
    bound.close()


async def test_a_dangling_link_is_replaced(folder: Path) -> None:
    path = folder / "daemon.sock"
    path.symlink_to(folder / "nowhere")
    bound = await bind(path, PeerPolicy())
    assert not path.is_symlink()
    bound.close()


async def test_a_living_daemon_keeps_its_socket() -> None:
    async with serving() as server:
        with pytest.raises(ControlSocketError, match="another daemon answers at"):
            await bind(server.path, PeerPolicy())
        assert await (await server.connect()).is_open()


async def test_a_daemon_that_hangs_keeps_its_socket(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("myownmesh.control.socket_file.PROBE_SECONDS", 0.1)
    path = folder / "daemon.sock"
    with socket.socket(socket.AF_UNIX) as hanging:
        hanging.bind(str(path))
        hanging.listen()
        with pytest.raises(ControlSocketError, match="another daemon answers at"):
            await bind(path, PeerPolicy())
        assert path.exists()


async def test_only_the_own_file_is_removed_at_the_end(folder: Path) -> None:
    path = folder / "daemon.sock"
    bound = await bind(path, PeerPolicy())
    path.unlink()
    other = await bind(path, PeerPolicy())
    bound.close()
    assert path.exists()
    other.close()
    other_again = await bind(path, PeerPolicy())
    path.unlink()
    other_again.close()


async def test_an_ordinary_file_is_put_aside_not_deleted(folder: Path) -> None:
    path = folder / "config.json"
    path.write_text("{}")
    bound = await bind(path, PeerPolicy())
    assert (folder / "config.json.replaced").read_text() == "{}"
    bound.close()
    path.touch()
    (await bind(path, PeerPolicy())).close()


@pytest.mark.parametrize("name", ["a\0b", "a\0b/daemon.sock"])
async def test_what_can_be_no_path_is_named(folder: Path, name: str) -> None:
    with pytest.raises(ControlSocketError, match="holds a NUL byte"):
        await bind(folder / name, PeerPolicy())


async def test_a_directory_in_the_way_is_named(folder: Path) -> None:
    with pytest.raises(ControlSocketError, match="a directory of that name is in the way"):
        await bind(folder, PeerPolicy())


async def test_a_path_too_long_is_refused_before_anything_is_touched(folder: Path) -> None:
    name = "x" * (MAX_PATH_BYTES - len(os.fsencode(folder)) - len("/d/"))
    longest = folder / "d" / name
    (await bind(longest, PeerPolicy())).close()
    with pytest.raises(ControlSocketError, match=f"{MAX_PATH_BYTES + 1} bytes is too long"):
        await bind(folder / "e" / f"{name}x", PeerPolicy())
    assert not (folder / "e").exists()


async def test_a_folder_that_cannot_be_made_is_named(folder: Path) -> None:
    (folder / "file").touch()
    with pytest.raises(ControlSocketError, match="cannot be made"):
        await bind(folder / "file" / "daemon.sock", PeerPolicy())


# ── who may come in ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_user_at_the_other_end_is_known() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert peer_uid(ours) == os.geteuid()


def test_the_own_user_and_root_may_come_in() -> None:
    policy = PeerPolicy()
    assert policy.admits(os.geteuid())
    assert policy.admits(0)
    assert not policy.admits(os.geteuid() + 4321)
    assert PeerPolicy(any_local_user=True).admits(4321)
    assert PeerPolicy(group="mesh").admits(4321), "the file's mode has decided"


async def test_a_stranger_is_told_why_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("myownmesh.control.server.peer_uid", lambda _: 4321)
    async with serving() as server:
        answers = await (await server.connect()).rest()
        assert len(answers) == 1
        assert answers[0]["error"].startswith(
            f"this control socket belongs to user {os.geteuid()} and you are user 4321"
        )


async def test_two_servers_at_one_path() -> None:
    async with serving() as first:
        second = type(first.server)(
            as_mesh(first.mesh), first.path, version="0.3.8", instance="1" * 16, home=first.path.parent
        )
        with pytest.raises(ControlSocketError):
            await second.serve()
        assert await (await first.connect()).is_open()
        await trio.lowlevel.checkpoint()
