"""Codes at the terminal, and the way out without one (spec 02 §17, §24.3 no. 52)."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING, Any

import pytest

from mesh_common import passed_secrets
from myownmesh.cli import main, tables
from myownmesh.store import Home, custody_file

if TYPE_CHECKING:
    from pathlib import Path

    from unit.cli.fake_daemon import FakeDaemon

WANTED = {"ok": False, "error": "custody: this change requires your authenticator code"}
LONE: dict[str, str] = {}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def locked(request: dict[str, Any]) -> dict[str, Any]:
    return {"ok": True, "data": {"disabled": True}} if request["code"] == "123456" else WANTED


def test_who_sits_at_a_terminal_is_asked_for_the_code(daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch) -> None:
    daemon.answer = locked
    monkeypatch.setattr(sys, "stdin", Terminal())
    monkeypatch.setattr(passed_secrets.getpass, "getpass", lambda _: "123456")
    assert main(["ctl", "governance", "mfa", "disable", "home"]) == 0
    assert [request["code"] for request in daemon.requests] == ["", "123456"]


def test_who_types_nothing_is_told_so(
    daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def ended(_: str) -> str:
        raise EOFError

    daemon.answer = locked
    monkeypatch.setattr(sys, "stdin", Terminal())
    monkeypatch.setattr(passed_secrets.getpass, "getpass", ended)
    assert main(["ctl", "governance", "mfa", "disable", "home"]) == 1
    assert capfd.readouterr().err == "error: nothing was typed\n"


def test_a_script_is_asked_nothing(
    daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    daemon.answer = locked
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    assert main(["ctl", "governance", "mfa", "disable", "home"]) == 1
    assert capfd.readouterr().err == f"error: daemon error: {WANTED['error']}\n"


def test_an_enrolment_is_a_page_to_copy_from() -> None:
    page = tables.enrolment({"secret": "ABC", "otpauth_uri": "otpauth://x", "recovery_codes": ["aaaaa-bbbbb"]})
    assert "Secret for the authenticator: ABC" in page
    assert page.endswith("\n  aaaaa-bbbbb")
    assert tables.enrolment({})  # of whatever daemon


@pytest.fixture
def lock(home: Path) -> Home:
    custody_file.enroll_on_disk(Home(home), "fleet-1", "laptop", LONE)
    return Home(home)


def test_a_lock_comes_off_without_a_code(lock: Home, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["custody", "reset", "other"]) == 0
    assert capfd.readouterr().out == (
        "other has no lock on this device; nothing was changed. There is one on fleet-1.\n"
    )
    assert main(["custody", "reset", "fleet-1"]) == 0
    assert capfd.readouterr().out.startswith("The lock of fleet-1 is off.")
    assert main(["custody", "reset", "fleet-1"]) == 0
    assert capfd.readouterr().out == "fleet-1 has no lock on this device; nothing was changed.\n"


def test_a_damaged_file_of_locks_can_be_left_behind(lock: Home, capfd: pytest.CaptureFixture[str]) -> None:
    lock.custody.write_text("{")
    assert main(["custody", "reset", "fleet-1"]) == 1
    assert "nothing was changed. `myownmesh custody reset --all`" in capfd.readouterr().err
    assert main(["custody", "reset", "--all"]) == 0
    assert f"is kept as {lock.custody}.corrupt" in capfd.readouterr().out
    assert custody_file.locked_on_disk(lock, LONE) == ()
    assert main(["custody", "reset", "--all"]) == 0
    assert "is kept as" not in capfd.readouterr().out


@pytest.mark.parametrize("argv", [[], ["fleet-1", "--all"]])
def test_one_says_which_lock(lock: Home, argv: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["custody", "reset", *argv]) == 1
    assert capfd.readouterr().err == "error: say which network, or --all\n"


def test_no_data_directory_is_made_for_a_reset(
    home: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MYOWNMESH_HOME", str(home / "none"))
    assert main(["custody", "reset", "fleet-1"]) == 1
    assert "there is no data directory" in capfd.readouterr().err
    assert not (home / "none").exists()
