"""docs/lan.md: its commands are run, and its bounds are those of the code."""

from __future__ import annotations

import json
import os
import re
import shlex
from pathlib import Path

import trio

from myownmesh.lan.directory import MAX_ADVERTS, MAX_LIFE_S, NEW_BURST, NEW_PER_S
from myownmesh.lan.endpoints import MAX_ADDRESSES
from myownmesh.lan.filing import MAX_ACCEPTED, MAX_ACCEPTED_PER_ADDRESS
from myownmesh.lan.lines import MAX_LINE_BYTES
from myownmesh.signaling.lan import LINES_BURST, LINES_PER_S
from support import warm
from support.daemons import daemon

TEXT = (Path(__file__).parents[3] / "docs" / "lan.md").read_text("utf-8")


async def test_the_commands(tmp_path: Path) -> None:
    async with daemon(tmp_path / "home") as device:
        for command in re.findall(r"^\$ myownmesh (.*)$", TEXT, re.MULTILINE):
            done = await trio.run_process(
                [*warm.words("myownmesh"), *shlex.split(command)],
                env={**os.environ, "MYOWNMESH_HOME": str(device.home)},
                capture_stdout=True,
            )
            if command.endswith("list"):
                assert [each["network_id"] for each in json.loads(done.stdout)["networks"]] == ["home"]
        [record] = (await device.ask("config_show"))["config"]["networks"]
        assert record["signaling"]["mdns"] is False


def test_the_bounds() -> None:
    rows = dict(re.findall(r"^\| (.*?) \| (.*?) \|$", TEXT, re.MULTILINE))
    bounds = {what: [int(number) for number in re.findall(r"\d+", bound)] for what, bound in rows.items()}
    assert bounds["adverts of devices that were not heard before"] == [NEW_BURST, NEW_PER_S, MAX_ADVERTS]
    assert "four minutes" in rows["adverts of devices that were not heard before"]
    assert MAX_LIFE_S == 240
    assert bounds["addresses of one device"] == [MAX_ADDRESSES]
    assert bounds["connections that others open"] == [MAX_ACCEPTED, MAX_ACCEPTED_PER_ADDRESS]
    assert bounds["a line"] == [MAX_LINE_BYTES // 1024, LINES_BURST, LINES_PER_S]
