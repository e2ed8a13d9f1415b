"""Authenticator locks on disk: the reference reads them, crashes take none off (spec 02 §17, FIX 27)."""

from __future__ import annotations

import json
import stat
import time
from typing import TYPE_CHECKING

import pytest

from myownmesh.custody import CustodyError, provisioning, totp
from myownmesh.store import Home, custody_file
from myownmesh.store.custody_file import (
    disable_on_disk,
    enroll_on_disk,
    enrolled,
    forget_all_on_disk,
    gate_on_disk,
    locked_on_disk,
    reset_on_disk,
)
from support.vectors import load

if TYPE_CHECKING:
    from pathlib import Path

NET = "fleet-1"
NO_ALIASES: dict[str, str] = {}
FILE = load("governance", "custody")["file"]["text"]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


def code_now(home: Home, key: str = NET) -> str:
    secret = json.loads(home.custody.read_text())["networks"][key]["secret_b32"]
    return totp.code_of(provisioning.secret_bytes(secret), totp.step_at(int(time.time())))


def test_without_files_everything_passes_and_nothing_is_written(home: Home) -> None:
    gate_on_disk(home, NET, None, NO_ALIASES)
    disable_on_disk(home, NET, "whatever", NO_ALIASES)
    assert not enrolled(home, NET, NO_ALIASES)
    assert not home.root.exists()


def test_the_references_file_is_a_lock_and_keeps_its_form(home: Home) -> None:
    home.secrets.mkdir(parents=True)
    home.custody.write_text(FILE)
    assert enrolled(home, NET, NO_ALIASES)
    with pytest.raises(CustodyError, match="invalid authenticator code"):
        gate_on_disk(home, NET, "000000", NO_ALIASES)
    assert home.custody.read_text() == FILE
    gate_on_disk(home, NET, "ABCDE FGHIJ", NO_ALIASES)
    assert json.loads(home.custody.read_text())["networks"][NET]["recovery_hashes"] == []


def test_an_enrolment_is_private_and_has_the_references_form(home: Home) -> None:
    shown = enroll_on_disk(home, NET, "laptop", NO_ALIASES)
    kept = json.loads(home.custody.read_text())
    assert list(kept) == ["networks"]
    assert list(kept["networks"][NET]) == ["secret_b32", "recovery_hashes", "created_at"]
    assert kept["networks"][NET]["secret_b32"] == shown.secret
    for file in (home.custody, home.custody_marks):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(home.secrets.stat().st_mode) == 0o700
    assert home.custody.read_text() == json.dumps(kept, indent=2)


def test_deleting_the_file_takes_no_lock_off(home: Home) -> None:
    shown = enroll_on_disk(home, NET, "laptop", NO_ALIASES)
    home.custody.unlink()
    assert enrolled(home, NET, NO_ALIASES)
    for attempt in (gate_on_disk, disable_on_disk):
        with pytest.raises(CustodyError, match="vanished"):
            attempt(home, NET, shown.recovery_codes[0], NO_ALIASES)
    with pytest.raises(CustodyError, match="already has MFA enrolled"):
        enroll_on_disk(home, NET, "laptop", NO_ALIASES)
    assert reset_on_disk(home, NET, NO_ALIASES)
    assert not reset_on_disk(home, NET, NO_ALIASES)
    gate_on_disk(home, NET, None, NO_ALIASES)


def test_a_lock_that_another_program_put_on_is_remembered_from_its_first_use(home: Home) -> None:
    enroll_on_disk(home, "fleet-0", "laptop", NO_ALIASES)
    both = json.loads(home.custody.read_text())["networks"] | json.loads(FILE)["networks"]
    home.custody.write_text(json.dumps({"networks": both}))
    with pytest.raises(CustodyError, match="requires your authenticator code"):
        gate_on_disk(home, NET, None, NO_ALIASES)
    home.custody.unlink()
    with pytest.raises(CustodyError, match="vanished"):
        gate_on_disk(home, NET, None, NO_ALIASES)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"networks":[]}', "{}", '{"networks":{"fleet-1":{}}}', "\udcff"])
def test_a_damaged_file_lets_nothing_pass_and_stays_where_it_is(home: Home, text: str) -> None:
    home.secrets.mkdir(parents=True)
    damaged = text.encode(errors="surrogateescape")
    home.custody.write_bytes(damaged)
    for attempt in (
        lambda: gate_on_disk(home, NET, "000000", NO_ALIASES),
        lambda: gate_on_disk(home, "other", None, NO_ALIASES),
        lambda: disable_on_disk(home, NET, "000000", NO_ALIASES),
        lambda: enroll_on_disk(home, "other", "laptop", NO_ALIASES),
        lambda: enrolled(home, NET, NO_ALIASES),
    ):
        with pytest.raises(CustodyError, match="custody: "):
            attempt()
    assert home.custody.read_bytes() == damaged


def test_a_damaged_side_file_is_set_aside_and_begun_again(home: Home) -> None:
    enroll_on_disk(home, NET, "laptop", NO_ALIASES)
    home.custody_marks.write_text("{")
    with pytest.raises(CustodyError, match="requires your"):
        gate_on_disk(home, NET, None, NO_ALIASES)
    assert home.custody_marks.with_name("custody.enrolled.corrupt").read_text() == "{"
    assert json.loads(home.custody_marks.read_text())["networks"].keys() == {NET}


def test_wrong_codes_are_counted_over_restarts(home: Home) -> None:
    enroll_on_disk(home, NET, "laptop", NO_ALIASES)
    for _ in range(5):
        with pytest.raises(CustodyError, match="invalid authenticator code"):
            gate_on_disk(home, NET, "000000", NO_ALIASES)
    with pytest.raises(CustodyError, match=r"too many attempts; wait [12] s"):
        gate_on_disk(home, NET, code_now(home), NO_ALIASES)


def test_a_code_is_used_up_on_disk_before_it_passes(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    enroll_on_disk(home, NET, "laptop", NO_ALIASES)

    def full(_path: Path, _data: bytes) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(custody_file, "atomic_write", full)
        with pytest.raises(CustodyError, match=r"custody: write custody store: .* No space left on device"):
            gate_on_disk(home, NET, code_now(home), NO_ALIASES)
    code = code_now(home)
    gate_on_disk(home, NET, code, NO_ALIASES)
    with pytest.raises(CustodyError, match="invalid"):
        gate_on_disk(home, NET, code, NO_ALIASES)


@pytest.mark.parametrize("crash_at", [1, 2])
def test_a_crash_between_the_files_leaves_the_lock_on(
    home: Home, monkeypatch: pytest.MonkeyPatch, crash_at: int
) -> None:
    enroll_on_disk(home, NET, "laptop", NO_ALIASES)
    writes = 0
    really = custody_file.atomic_write

    def crashing(path: Path, data: bytes) -> None:
        nonlocal writes
        writes += 1
        if writes >= crash_at:
            raise OSError(5, "Input/output error")
        really(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(custody_file, "atomic_write", crashing)
        with pytest.raises(CustodyError, match="write custody store"):
            disable_on_disk(home, NET, code_now(home), NO_ALIASES)
    with pytest.raises(CustodyError, match="requires your authenticator code"):
        gate_on_disk(home, NET, None, NO_ALIASES)


def test_a_lock_under_an_alias_moves_to_its_network(home: Home) -> None:
    home.secrets.mkdir(parents=True)
    home.custody.write_text(FILE.replace("fleet-1", "my-fleet"))
    aliases = {"my-fleet": NET}
    assert enrolled(home, NET, aliases)
    with pytest.raises(CustodyError, match="requires your authenticator code"):
        gate_on_disk(home, NET, None, aliases)
    assert home.custody.read_text() == FILE
    assert json.loads(home.custody_marks.read_text())["networks"].keys() == {NET}


def test_a_lock_under_an_alias_is_reset_by_its_networks_name(home: Home) -> None:
    home.secrets.mkdir(parents=True)
    home.custody.write_text(FILE.replace("fleet-1", "my-fleet"))
    assert locked_on_disk(home, {"my-fleet": NET}) == (NET,)
    assert reset_on_disk(home, NET, {"my-fleet": NET})
    assert locked_on_disk(home, {"my-fleet": NET}) == ()
    gate_on_disk(home, NET, None, {"my-fleet": NET})


def test_all_locks_come_off_a_damaged_file_too_which_is_kept(home: Home) -> None:
    enroll_on_disk(home, NET, "laptop", NO_ALIASES)
    enroll_on_disk(home, "other", "laptop", NO_ALIASES)
    assert forget_all_on_disk(home) is None
    assert locked_on_disk(home, NO_ALIASES) == ()
    enroll_on_disk(home, NET, "laptop", NO_ALIASES)
    home.custody.write_text("{")
    with pytest.raises(CustodyError, match="read custody store"):
        gate_on_disk(home, NET, "123456", NO_ALIASES)
    aside = forget_all_on_disk(home)
    assert aside is not None
    assert aside.read_text() == "{"
    gate_on_disk(home, NET, None, NO_ALIASES)


def test_a_damaged_file_that_cannot_be_moved_keeps_every_lock(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    enroll_on_disk(home, NET, "laptop", NO_ALIASES)
    home.custody.write_text("{")
    monkeypatch.setattr(custody_file, "quarantine", lambda *_: None)
    with pytest.raises(CustodyError, match="read custody store"):
        forget_all_on_disk(home)
    with pytest.raises(CustodyError, match="read custody store"):
        gate_on_disk(home, NET, None, NO_ALIASES)
