"""`ctl danger`: a person types what is to happen, and hears which device this is afterwards (spec 05 §15)."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING, Any

import pytest

from myownmesh.cli import main

if TYPE_CHECKING:
    from unit.cli.fake_daemon import FakeDaemon

RESET = {"reset": True, "restarting": True}
FORGOTTEN = {"forgotten": ["office-mesh"], "restarting": True}
ASKED = {"factory-reset": ("factory_reset", "delete"), "forget-all-networks": ("forget_all_networks", "forget")}


class Person(io.StringIO):
    """A terminal at which somebody types."""

    def isatty(self) -> bool:
        return True


def act(daemon: FakeDaemon, *, instance: str | None = "old", next_device: str = "new-BBBBB") -> None:
    """The daemon is another one once it was asked to forget something."""

    def answer(request: dict[str, Any]) -> dict[str, Any]:
        done = [each["op"] for each in daemon.requests if each["op"] != "status"]
        if request["op"] != "status":
            return {"ok": True, "data": RESET if request["op"] == "factory_reset" else FORGOTTEN}
        mine = {"version": "0.3.8", "joined_networks": ["office-mesh"], "home": "/h", "instance": instance}
        if not done or instance is None:
            return {"ok": True, "data": {**mine, "device_id": "old-AAAAA"}}
        return {"ok": True, "data": {**mine, "device_id": next_device, "instance": "new"}}

    daemon.answer = answer


def asked(daemon: FakeDaemon) -> list[str]:
    return [each["op"] for each in daemon.requests if each["op"] != "status"]


@pytest.mark.parametrize("command", ASKED)
def test_a_person_types_what_is_to_happen(
    daemon: FakeDaemon, command: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    act(daemon)
    op, word = ASKED[command]
    for typed in ("", "yes\n", "\n"):
        monkeypatch.setattr(sys, "stdin", Person(typed))
        assert main(["ctl", "danger", command]) == 1
        assert "nothing was changed" in capfd.readouterr().err
    assert asked(daemon) == []
    monkeypatch.setattr(sys, "stdin", Person(f"{word.upper()} \n"))
    assert main(["ctl", "danger", command]) == 0
    assert asked(daemon) == [op]
    out, err = capfd.readouterr()
    assert '"restarting": true' in out
    assert ("old-AAAAA" if op == "factory_reset" else "office-mesh") in err
    assert err.endswith("The daemon is back. This is now new-BBBBB.\n")


@pytest.mark.parametrize("command", ASKED)
def test_where_nobody_can_be_asked_it_wants_a_word_on_the_command_line(
    daemon: FakeDaemon, command: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    act(daemon, next_device="old-AAAAA")
    monkeypatch.setattr(sys, "stdin", io.StringIO("delete\nforget\n"))
    assert main(["ctl", "danger", command]) == 1
    assert "say --yes" in capfd.readouterr().err
    assert asked(daemon) == []
    assert main(["ctl", "danger", command, "--yes"]) == 0
    assert asked(daemon) == [ASKED[command][0]]
    assert capfd.readouterr().err == "The daemon is back. This is still old-AAAAA.\n"


def test_a_daemon_that_does_not_come_back_by_itself_is_not_waited_for(
    daemon: FakeDaemon, capfd: pytest.CaptureFixture[str]
) -> None:
    act(daemon, instance=None)
    assert main(["ctl", "danger", "factory-reset", "--yes"]) == 0
    assert "start it again" in capfd.readouterr().err


def test_one_that_stays_away_is_told_and_what_was_done_is_done(
    daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    act(daemon)
    real = daemon.answer
    monkeypatch.setattr("myownmesh.cli.ctl_danger.BACK_S", 0.2)
    monkeypatch.setattr("myownmesh.cli.ctl_danger.LOOK_S", 0.01)
    daemon.answer = lambda request: [] if asked(daemon) and request["op"] == "status" else real(request)
    assert main(["ctl", "danger", "factory-reset", "--yes"]) == 0
    assert "no daemon has answered" in capfd.readouterr().err
