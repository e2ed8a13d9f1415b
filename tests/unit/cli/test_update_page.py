"""docs/updates.md: its commands are run, and its numbers are those of the code."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from myownmesh.cli import main
from myownmesh.store.config import AutoUpdate
from myownmesh.updates import probation, rules, schedule

TEXT = (Path(__file__).parents[3] / "docs" / "updates.md").read_text("utf-8")
COMMANDS = [
    shlex.split(line, comments=True)
    for block in re.findall(r"^```sh\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    for line in block.splitlines()
]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_its_commands_run(words: list[str], home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Here on a Python installation, which says that whoever made it updates it."""
    assert words[:2] == ["myownmesh", "update"]
    assert main(words[1:]) == 0
    assert capfd.readouterr().err == ""
    assert not (home / "updates").exists()


def test_there_are_commands() -> None:
    assert len(COMMANDS) == 8


def test_its_numbers_are_those_of_the_code() -> None:
    flat = " ".join(TEXT.split())
    least, most = schedule.FIRST_S
    assert f"{least:.0f} to {most:.0f} seconds after a start" in flat
    assert f"after {schedule.AFTER_FAILURE_S / 60:.0f} minutes" in flat
    assert f"up to {schedule.AFTER_FAILURES_S / 3600:.0f} hours" in flat
    assert f"{probation.CONFIRM_AFTER_S:.0f} seconds passed" in flat
    assert f"stays for {rules.KEEP_PREVIOUS_S / 86400:.0f} days" in flat
    assert rules.STARTS_ALLOWED + 1 == 3
    assert f"`check_interval_hours` | {AutoUpdate().check_interval_hours};" in flat
    assert schedule.SPREAD == 0.1
