"""A home that was copied to a second machine, as its user meets it: both copies say so, and what to do."""

from __future__ import annotations

import json
import shutil
import subprocess
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from e2e.devices import demo, eventually

if TYPE_CHECKING:
    from e2e.devices import Pair


def health(device: Any) -> tuple[int, str]:
    """Exit status and first finding of `myownllm health`."""
    done = subprocess.run(
        [*device.program, "health", "--json"],
        env=device.environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=30,
    )
    report = json.loads(done.stdout.splitlines()[-1])
    return done.returncode, report["findings"][0]["text"]


def is_disputed(device: Any) -> bool:
    return health(device)[0] == 20


@pytest.mark.slow
def test_health_of_both_copies_names_the_other_and_the_way_out(pair: Pair) -> None:
    pair.meet("home")
    copy = demo.Device("Copy", pair.base / "c")
    copy.program = pair.anna.program
    ignore = shutil.ignore_patterns("*.sock", "*.lock", "*.jsonl", "up.err")
    shutil.copytree(pair.boris.home, copy.home, ignore=ignore, dirs_exist_ok=True)
    copy.up()
    try:
        for device in (pair.boris, copy):
            eventually(partial(is_disputed, device), f"health of {device.name} names the copy", 30.0)
        assert "was here first, so this one stands aside" in health(copy)[1]
        assert "another device uses this device's identity" in health(pair.boris)[1]
        for device in (pair.boris, copy):
            assert "identity.json away and start again" in health(device)[1]
        eventually(lambda: pair.anna.run("status")["connected_peers"] == 1, "Anna has her link to Boris")
        assert "another device uses" in copy.run("status")["reason"]
        pair.boris.stop()
        eventually(lambda: health(copy)[0] == 0, "the copy is alone now", 30.0)
    finally:
        copy.stop()
