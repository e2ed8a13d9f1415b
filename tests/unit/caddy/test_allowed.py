"""Whoever is not root may change a Caddyfile of its own, and for the system's is told what to run."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from myownmesh.cli.caddy_base import must_be_allowed
from myownmesh.cli.errors import CliError

SYSTEMS = Path("/etc/caddy/Caddyfile")


@pytest.fixture(autouse=True)
def no_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(sys, "argv", ["myownmesh", "install", "caddy", "mesh.example.org"])
    monkeypatch.setenv("MYOWNMESH_HOME", "/home/ann/a mesh")


@pytest.mark.parametrize("writable", [True, False])
def test_the_systems_file_is_roots_whatever_its_folder_allows(writable: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: writable)
    with pytest.raises(CliError, match=r"only root may change /etc/caddy/Caddyfile; run this instead") as refused:
        must_be_allowed(SYSTEMS)
    told = str(refused.value)
    assert "sudo 'MYOWNMESH_HOME=/home/ann/a mesh' " in told
    assert told.endswith(" install caddy mesh.example.org")


def test_a_file_in_a_folder_of_ones_own_is_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    must_be_allowed(tmp_path / "not yet" / "Caddyfile")
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(CliError, match="only root may change"):
        must_be_allowed(tmp_path / "Caddyfile")
