"""Where the data directory is (spec 07 §1)."""

from __future__ import annotations

from pathlib import Path

import pytest

from myownmesh.store import Home


@pytest.mark.parametrize(
    ("environ", "root"),
    [
        ({"MYOWNMESH_HOME": "/state", "HOME": "/h"}, "/state"),
        ({"MYOWNMESH_HOME": "  /state\t", "HOME": "/h"}, "/state"),
        ({"MYOWNMESH_HOME": "  ", "HOME": "/h"}, "/h/.myownmesh"),
        ({"HOME": "/h"}, "/h/.myownmesh"),
    ],
)
def test_the_variable_is_the_directory_itself_and_blank_counts_as_unset(environ: dict[str, str], root: str) -> None:
    assert Home.resolve(environ).root == Path(root)


def test_the_socket_is_in_the_directory_unless_pinned() -> None:
    home = Home(Path("/state"))
    assert home.socket() == Path("/state/daemon.sock")
    assert home.socket("/run/d.sock") == Path("/run/d.sock")
    assert home.socket("rel.sock") == Path("rel.sock")  # verbatim: relative to whoever opens it
