"""The locks of a data directory: one node, and words that name it (spec 07 C1, C9)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from myownmesh.store import AlreadyRunning, Home, StoreError, open_store
from myownmesh.store.locks import Held, take

if TYPE_CHECKING:
    from pathlib import Path


def test_a_lock_that_cannot_be_opened_says_why(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"open lock file .*absent/l: No such file or directory \(os error 2\)"):
        take(tmp_path / "absent" / "l")


def test_a_second_node_is_told_who_has_the_directory(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    with open_store(home):
        home.config.write_text('{"daemon":{"control_socket":"/run/mesh/d.sock"}}')
        with pytest.raises(AlreadyRunning) as caught:
            open_store(home)
    assert caught.value.pid == os.getpid()
    assert f"process {os.getpid()} (control socket /run/mesh/d.sock)" in str(caught.value)
    open_store(home).close()


@pytest.mark.parametrize(("content", "pid"), [(b"", None), (b"x", None), (b"-1", None), (b"12 13", None), (b"7\n", 7)])
def test_a_strange_lock_file_names_nobody(tmp_path: Path, content: bytes, pid: int | None) -> None:
    with take(tmp_path / "l", note=content), pytest.raises(Held) as caught:
        take(tmp_path / "l")
    assert caught.value.pid == pid
    assert str(caught.value).endswith("is locked by another process" if pid is None else "is locked by process 7")
