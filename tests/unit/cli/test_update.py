"""``update`` where nothing is fetched: the words of v0.3.8, and what a program says that somebody else installed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from myownmesh.cli import main
from support.vectors import load

if TYPE_CHECKING:
    from pathlib import Path

CASES = [case for case in load("control-socket", "cli") if case["argv"][:1] == ["update"]]


@pytest.mark.parametrize("case", CASES, ids=lambda case: " ".join(case["argv"]))
def test_it_ends_as_the_reference_does(
    case: dict[str, object], home: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    name, _, value = str(case["given"]).partition("=")
    monkeypatch.setenv(name, value)
    assert main(list(case["argv"])) == case["exit"]  # type: ignore[call-overload]  # a vector's words
    assert capfd.readouterr() == (case["stdout"], case["stderr"])


def test_status_has_the_labels_of_the_reference(home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["update", "status"]) == 0
    lines = capfd.readouterr().out.splitlines()
    labels = ("Version", "Install", "Auto-update", "Channel", "Apply", "Interval", "Last check", "Staged", "Feed")
    assert [line[:13] for line in lines] == [f"{label:<11}: " for label in labels]


def test_it_is_switched_off_and_on_in_the_file(home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for word, on in (("disable", False), ("enable", True)):
        assert main(["update", word]) == 0
        assert json.loads((home / "config.json").read_text())["auto_update"]["enabled"] is on
        capfd.readouterr()
        assert main(["update", "status", "--json"]) == 0
        assert json.loads(capfd.readouterr().out)["enabled"] is on


def test_whoever_installed_it_is_named(home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["update", "check"]) == 0
    assert "pip" in capfd.readouterr().out
    assert main(["update", "check", "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["outcome"] == "package_manager"
    assert not (home / "updates").exists()
