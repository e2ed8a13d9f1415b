"""docs/client.md: its two programs run as they stand, each beside a daemon of its own, and one asks the other."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.devices import NETWORK
from support.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.devices import Device, Pair

PAGE = (Path(__file__).parents[3] / "docs" / "client.md").read_text("utf-8")
TRIO, ASYNCIO = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Run a program of the page beside a device's daemon; it is killed at the end."""
    programs: list[subprocess.Popen[str]] = []

    def start(name: str, program: str, device: Device, *arguments: str) -> subprocess.Popen[str]:
        path = tmp_path / f"{name}.py"
        path.write_text(program, "utf-8")
        programs.append(
            subprocess.Popen(
                [sys.executable, "-W", "error", str(path), *arguments],
                env={**os.environ, "MYOWNMESH_HOME": str(device.home)},
                stdout=subprocess.PIPE,
                text=True,
            )
        )
        return programs[-1]

    yield start
    for program in programs:
        program.kill()
        program.communicate()


def says(program: subprocess.Popen[str]) -> str:
    assert program.stdout is not None
    return program.stdout.readline().rstrip()


def test_the_web_app_asks_the_trio_program(pair: Pair, run: Callable[..., subprocess.Popen[str]]) -> None:
    serving = run("serving", TRIO, pair.a, NETWORK)
    assert says(serving).startswith(f"serving as {pair.a.key}-")
    port = free_port()
    assert says(run("web", ASYNCIO, pair.b, NETWORK, str(port))) == "listening"

    def get(path: str) -> tuple[int, dict[str, object]]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=20) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    code, body = get("/add/20/22")
    assert (code, body["sum"]) == (200, 42)
    assert get("/nothing")[0] == 404
    serving.kill()
    serving.wait()
    code, body = get("/add/20/22")
    if code == 504:  # 0.3.8 hands one call to a program that is gone before it notices (spec 05 W7)
        code, body = get("/add/20/22")
    assert code == 501, body


def test_the_trio_program_sees_its_daemon_go_and_come_back(
    pair: Pair, run: Callable[..., subprocess.Popen[str]]
) -> None:
    serving = run("serving", TRIO, pair.b, NETWORK)
    says(serving)
    pair.b.stop()
    seen = []
    while (line := says(serving)) != "the daemon is gone; waiting for it":
        seen.append(line)
    pair.b.start()
    assert says(serving) == "the daemon is back, and so is `add`"
    pair.wait_active()
