"""Socket files that are private from the start, also where a file system refuses modes."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path
from types import SimpleNamespace

import pytest

from mesh_common.sockets import bind_privately


@pytest.fixture
def listener() -> socket.socket:
    return socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)


def test_the_file_is_its_owners_alone_and_the_umask_is_kept(
    tmp_path: Path, listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # the path of a socket is short
    before = os.umask(0o022)
    try:
        with listener:
            assert bind_privately(listener, Path("s"))
        assert os.umask(before) == 0o022
    finally:
        os.umask(before)
    assert stat.S_IMODE(Path("s").stat().st_mode) == 0o600


@pytest.mark.parametrize(("mode", "private"), [(0o600, True), (0o700, True), (0o777, False), (0o620, False)])
def test_where_no_mode_can_be_set_the_one_there_is_decides(
    tmp_path: Path, listener: socket.socket, monkeypatch: pytest.MonkeyPatch, mode: int, private: bool
) -> None:
    def refused(*_: object) -> None:
        raise PermissionError

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Path, "chmod", refused)
    monkeypatch.setattr(Path, "lstat", lambda _: SimpleNamespace(st_mode=stat.S_IFSOCK | mode))
    with listener:
        assert bind_privately(listener, Path("s")) is private
