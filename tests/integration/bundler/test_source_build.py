"""Building from source: only when asked, only when there is no release, and held to the same checks (spec 09 §5)."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest

from integration.bundler.bench import Machine
from integration.bundler.fakes import daemon
from mesh_bundler import client

if TYPE_CHECKING:
    from pathlib import Path

    from integration.bundler.release_server import ReleaseServer

COMMIT = "93b536280faba49b84eb938245982fe4dce75985"


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client.Client, "pause", lambda _self, _seconds: None)


def install_cargo(machine: Machine, monkeypatch: pytest.MonkeyPatch, built: bytes | None) -> Path:
    """A `cargo` that notes its arguments and "builds" the given daemon, or fails."""
    folder = machine.folder / "tools"
    folder.mkdir()
    (folder / "built").write_bytes(built or b"")
    script = folder / "cargo"
    script.write_text(
        f'#!/bin/sh\nprintf "%s\\n" "$@" > {folder}/arguments\n'
        + ("echo the compiler is unhappy >&2; exit 101\n" if built is None else "")
        + f'while [ "$1" != --root ]; do shift; done\nmkdir -p "$2/bin"\ncp {folder}/built "$2/bin/myownmesh"\n'
    )
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    machine.env["PATH"] = str(folder)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return folder / "arguments"


def test_a_commit_is_built_when_asked(tmp_path: Path, server: ReleaseServer, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(tmp_path, server, pin=COMMIT)
    arguments = install_cargo(machine, monkeypatch, daemon("0.1.1"))
    assert machine.refusal().code == "commit_pin_has_no_release"
    result = machine.run(allow_source_build=True)
    assert (result.outcome, result.source, result.version) == ("staged", "source", "0.1.1")
    words = arguments.read_text().split()
    assert words[:2] == ["install", "--git"]
    assert words[-2:] == ["--rev", COMMIT]
    assert machine.marker is None
    assert machine.run(allow_source_build=True).outcome == "current"


def test_a_tag_without_release_is_built_and_must_report_its_version(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    (machine.repo / ".myownmesh-rev").write_text("v0.1.3")
    install_cargo(machine, monkeypatch, daemon("0.1.2"))
    refusal = machine.refusal(allow_source_build=True)
    assert (refusal.code, refusal.exit_code) == ("version_mismatch", 8)
    (machine.folder / "tools" / "built").write_bytes(daemon("0.1.3"))
    assert machine.run(allow_source_build=True).source == "source"


def test_a_build_that_fails_says_why(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    (machine.repo / ".myownmesh-rev").write_text("v0.1.3")
    install_cargo(machine, monkeypatch, None)
    refusal = machine.refusal(allow_source_build=True)
    assert refusal.code == "source_build_failed"
    assert "the compiler is unhappy" in refusal.message
    assert not machine.slot.exists()


def test_wrong_bytes_are_never_answered_with_a_build(
    machine: Machine, server: ReleaseServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = install_cargo(machine, monkeypatch, daemon("0.1.2"))
    server.assets["v0.1.2", "myownmesh-linux-x86_64.tar.gz"] = b"wrong" * 1000
    assert machine.refusal(allow_source_build=True).code == "checksum_mismatch"
    assert not arguments.exists()
