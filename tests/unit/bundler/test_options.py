"""The command line follows the request: each member that carries an option can be typed, with its default."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from mesh_bundler import EnsureRequest, commands

OPTIONS = [member for member in fields(EnsureRequest) if "Option(" in str(member.type)]
INNER = {"env", "on_notice", "on_progress", "cancelled", "release_base", "api_base"}
SAID: dict[str, tuple[list[str], object]] = {
    "repo_root": (["--repo-root", "/r"], Path("/r")),
    "dest": (["--dest", "/d"], Path("/d")),
    "seed_dir": (["--seed-dir", "/s"], Path("/s")),
    "sibling": (["--sibling", "a", "--sibling", "b"], ("a", "b")),
    "wait_for_asset": (["--wait-for-asset", "15m"], 900.0),
    "probe_timeout": (["--probe-timeout", "7"], 7.0),
    "lock_timeout": (["--lock-timeout", "0"], 0.0),
    "allow_unbound_signature": (["--no-allow-unbound-signature"], False),
}


@pytest.fixture
def ensured(monkeypatch: pytest.MonkeyPatch) -> list[EnsureRequest]:
    """What `ensure` was asked for."""
    asked: list[EnsureRequest] = []

    def ensure(request: EnsureRequest) -> None:
        asked.append(request)

    monkeypatch.setattr(commands, "ensure", ensure)
    monkeypatch.setattr("mesh_bundler.report.show_result", lambda _result, _console: None)
    return asked


def test_the_members_without_an_option_are_those_of_programs() -> None:
    assert {member.name for member in fields(EnsureRequest)} - {member.name for member in OPTIONS} == INNER


@pytest.mark.parametrize("name", [member.name for member in OPTIONS])
def test_each_option_reaches_its_member(name: str, ensured: list[EnsureRequest]) -> None:
    member: Any = next(member for member in OPTIONS if member.name == name)
    switch = member.default is False
    spelt = f"--{name.replace('_', '-')}"
    words, value = SAID.get(name, ([spelt] if switch else [spelt, "x"], True if switch else "x"))
    before = ["--tool", "x"] if name == "tool" else []
    assert commands.run([*before, "ensure", *([] if before else words), "--progress", "none"]) == 0
    assert getattr(ensured[0], name) == value


@pytest.mark.parametrize("words", [[], ["ensure"], ["stage"]])
def test_without_options_the_request_is_the_default_one(words: list[str], ensured: list[EnsureRequest]) -> None:
    assert commands.run(words) == 0
    default, asked = EnsureRequest(), ensured[0]
    names = {member.name for member in OPTIONS} - {"repo_root"}
    assert {name: getattr(asked, name) for name in names} == {name: getattr(default, name) for name in names}
    assert asked.repo_root == Path.cwd()
