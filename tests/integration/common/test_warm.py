"""A command that `support.warm` forks is to its caller what a started one is; only its start is quicker."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mesh_common.client import blocking
from support.warm import Forked, words

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def home() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="w") as folder:  # the path of a socket is short
        yield Path(folder)


def run(begins: list[str], home: Path, *arguments: str) -> tuple[int, bytes, bytes]:
    environment = {"HOME": str(home), "PATH": os.defpath, "UNREADABLE": "\udcff"}
    done = subprocess.run(
        [*begins, *arguments], env=environment, cwd=home, input=b"", capture_output=True, timeout=60, check=False
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    "arguments", [["networks", "list", "--json"], ["peers"], ["nonsense"], ["call", "a\udcffb", "x"]]
)
def test_status_and_words_are_those_of_the_program(home: Path, arguments: list[str]) -> None:
    started = run([str(Path(sys.executable).with_name("myownllm"))], home, *arguments)
    assert run(words("myownllm"), home, *arguments) == started


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 0), (signal.SIGKILL, -signal.SIGKILL)])
def test_signals_reach_it_and_nothing_outlives_its_caller(home: Path, number: int, status: int) -> None:
    with subprocess.Popen(
        [*words("myownllm"), "up", "--json"], env={"HOME": str(home), "PATH": os.defpath}, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith(b"{")
        process.send_signal(number)
        process.stdout.read()  # ends with the last process that could write there
        assert process.wait(20) == status


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 0), (signal.SIGKILL, -signal.SIGKILL)])
def test_a_forked_daemon_is_a_process_like_a_started_one(home: Path, number: int, status: int) -> None:
    readable, writable = os.pipe()
    environment = {"MYOWNMESH_HOME": str(home / "mesh"), "PATH": os.defpath}
    with (home / "log").open("wb") as log, os.fdopen(readable, "rb") as told:
        running = Forked(environment, log, writable)
        os.close(writable)
        assert json.loads(told.readline())["ready"], (home / "log").read_text()
        assert blocking.request(home / "mesh" / "daemon.sock", "status", timeout=20)["pid"] == running.pid
        assert running.poll() is None
        with pytest.raises(subprocess.TimeoutExpired):
            running.wait(0.01)
        running.send_signal(number)
        assert running.wait(20) == status
        running.send_signal(number)  # the number may be another process's by now
        assert running.returncode == status
