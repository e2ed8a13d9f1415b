"""File systems with less: no modes, no links, no locks. The work is done, or refused with that reason."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from integration.bundler.fakes import daemon

if TYPE_CHECKING:
    from integration.bundler.bench import Machine


def refuse(*_: object, **__: object) -> None:
    raise OSError(errno.EPERM, "Operation not permitted")


def no_locks(*_: object) -> None:
    raise OSError(errno.ENOLCK, "No locks available")


def without(monkeypatch: pytest.MonkeyPatch, lacks: str) -> None:
    """Take something from every file system."""
    if "modes" in lacks:
        monkeypatch.setattr(Path, "chmod", refuse)
        monkeypatch.setattr(os, "fchmod", refuse)
        # Where modes cannot be changed, a mount option says what every file has.
        monkeypatch.setattr(os, "access", lambda *_arguments, **_named: "executable" in lacks)
    if "links" in lacks:
        monkeypatch.setattr(Path, "hardlink_to", refuse)
        monkeypatch.setattr(os, "link", refuse)
    if "locks" in lacks:
        monkeypatch.setattr(fcntl, "flock", no_locks)


@pytest.mark.parametrize("lacks", ["links", "locks", "links locks"])
def test_it_stages_keeps_and_restages(machine: Machine, monkeypatch: pytest.MonkeyPatch, lacks: str) -> None:
    without(monkeypatch, lacks)
    assert machine.run().outcome == "staged"
    assert machine.run().outcome == "current"
    machine.slot.write_bytes(b"x" * 2_000_000)
    assert machine.run().outcome == "staged"
    assert machine.slot.read_bytes() == daemon("0.1.2")
    assert not list(machine.dest.glob("*.excl"))


def test_without_modes_a_file_that_is_executable_anyway_will_do(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.open

    def open_executable(path: object, flags: int, mode: int = 0o777, **named: object) -> int:
        return real(path, flags, mode | 0o111, **named)  # type: ignore[arg-type]  # a mount with fmask=0

    monkeypatch.setattr(os, "open", open_executable)
    without(monkeypatch, "modes, all executable")
    result = machine.run()
    assert (result.outcome, result.asset and result.asset["from_cache"]) == ("staged", False)
    machine.slot.unlink()
    again = machine.run()
    assert (again.outcome, again.asset and again.asset["from_cache"]) == ("staged", True)


def test_without_modes_a_file_that_cannot_be_executed_is_refused(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    without(monkeypatch, "modes")
    refusal = machine.refusal()
    assert (refusal.code, refusal.exit_code) == ("not_executable", 10)
    assert "Operation not permitted" in refusal.message
    assert not machine.slot.exists()


def test_a_stub_moves_the_old_daemon_aside_without_links(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.run()
    (machine.repo / ".myownmesh-rev").write_text("v9.9.9\n")
    without(monkeypatch, "links")
    assert machine.run(allow_stub=True).outcome == "stub"
    assert machine.slot.read_bytes() == b""
    assert machine.slot.with_name(machine.slot.name + ".stale").read_bytes() == daemon("0.1.2")


def test_an_archive_that_moved_is_found_where_it_is(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The name of a stored archive cannot be noted; the archive has moved all the same, and is staged from there."""
    from mesh_bundler import store

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(store.Store, "remember", full)
    assert machine.run().outcome == "staged"
