"""What waits when the daemon starts: put in, refused, or left, without a process of its own (spec 09 §10.6)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NoReturn

import pytest

from integration.updates.machine import NEW, OLD, Machine, Started
from myownmesh.updates import boot, swap
from myownmesh.updates.records import State

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(params=["file", "folder"])
def machine(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    def become(*_: object) -> NoReturn:
        raise Started

    monkeypatch.setattr(swap, "become", become)
    monkeypatch.setattr(boot, "VERSION", OLD)  # put back behind the test, which sets it at each start
    monkeypatch.setattr(boot, "find", boot.find)
    return Machine(tmp_path, request.param)


def quarantine(machine: Machine) -> list[str]:
    state = machine.place.state()
    return [] if state is None else [row.version for row in state.quarantine]


def test_what_waits_is_put_in(machine: Machine) -> None:
    machine.stage()
    assert machine.start() == NEW


def test_a_home_without_updates_gets_no_file(machine: Machine) -> None:
    assert machine.start() == OLD
    assert not machine.place.root.exists()


def test_what_was_altered_since_it_was_verified_never_is(machine: Machine, capfd: pytest.CaptureFixture[str]) -> None:
    """F45."""
    machine.stage()
    staged = machine.place.staged()
    assert staged is not None
    altered = machine.root.__class__(staged.path)
    (altered if altered.is_file() else altered / "py" / "a.pyc").write_bytes(b"evil")
    assert machine.start() == OLD
    assert quarantine(machine) == [NEW]
    assert machine.place.staged() is None
    assert not altered.exists()
    assert "was changed after it was verified; going on with 0.3.8" in capfd.readouterr().err


@pytest.mark.parametrize("config", [None, {"enabled": False}])
def test_switched_off_nothing_is_put_in_by_itself(machine: Machine, config: dict[str, bool] | None) -> None:
    machine.stage()
    if config is not None:
        (machine.home / "config.json").write_text(json.dumps({"auto_update": config}))
    assert machine.start({} if config else {"MYOWNMESH_AUTOUPDATE": "0"}) == OLD
    assert machine.place.staged() is not None, "a person may put it in"
    (machine.home / "config.json").write_text("no JSON")
    assert machine.start() == NEW


def test_what_a_person_is_to_put_in_waits(machine: Machine) -> None:
    machine.stage(auto=False)
    assert machine.start() == OLD
    assert machine.place.staged() is not None


def test_a_program_that_was_replaced_meanwhile_is_left_alone(machine: Machine) -> None:
    machine.stage()
    program = machine.installation.program
    program.write_bytes(program.read_bytes())
    assert machine.start() == OLD
    assert machine.place.staged() is None


def test_somebody_elses_program_is_left_alone(machine: Machine) -> None:
    """F47: what became read-only, for one."""
    machine.stage()
    machine.installation = machine.installation._replace(managed="its folder is not writable")
    assert machine.start() == OLD
    assert machine.place.staged() is not None, "it stays until it can be put in"


def test_a_version_in_quarantine_is_not_put_in(machine: Machine) -> None:
    machine.stage()
    machine.place.write(State(OLD).with_quarantined(NEW, "it fell", 1.0))
    assert machine.start() == OLD
    assert machine.place.staged() is None


def test_a_program_that_the_system_does_not_start_goes_back_at_once(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def become(*_: object) -> NoReturn:
        raise OSError(8, "Exec format error")

    monkeypatch.setattr(swap, "become", become)
    machine.stage()
    assert machine.start() == OLD
    assert machine.whole_version() == OLD
    assert quarantine(machine) == [NEW]
    assert "Exec format error" in capfd.readouterr().err


def test_a_home_that_cannot_be_written_keeps_no_daemon_from_starting(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(*_: object) -> NoReturn:
        raise PermissionError(13, "Permission denied")

    machine.stage()
    monkeypatch.setattr("myownmesh.updates.place.Place.lock", refuses)
    assert machine.start() == OLD
