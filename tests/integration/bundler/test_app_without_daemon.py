"""`myownllm up` on a machine without a daemon: it fetches the pinned one, or says what to do (spec 08 §3.3)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from integration.bundler.bench import ASSET
from integration.bundler.fakes import daemon
from integration.bundler.release_server import tar_gz

if TYPE_CHECKING:
    from collections.abc import Iterator

    from integration.bundler.release_server import ReleaseServer

ROOT = Path(__file__).parents[3]
FOLDERS = ("common", "frontend_client", "bundler")


class BareMachine:
    """The app alone: no daemon beside its interpreter, none on the PATH."""

    def __init__(self, home: Path, **env: str) -> None:
        interpreter = Path(getattr(sys, "_base_executable", sys.executable)).resolve()
        assert not (interpreter.parent / "myownmesh").exists(), "this machine is not bare"
        self._command = [str(interpreter), "-m", "myownllm", "up", "--json"]
        self._env = {
            "HOME": str(home),
            "PATH": os.defpath,
            "PYTHONPATH": os.pathsep.join(
                [*(str(ROOT / name) for name in ("common", "frontend_client", "bundler")), *sys.path]
            ),
            **env,
        }

    def up(self, limit: float, enough: str) -> list[dict[str, Any]]:
        """The events of `up` until one of them is `enough`, or it ended, or time is over."""
        process = subprocess.Popen(
            self._command, env=self._env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        deadline = time.monotonic() + limit
        killer = subprocess.Popen(
            [sys.executable, "-c", f"import os,time; time.sleep({limit}); os.kill({process.pid}, {signal.SIGKILL})"]
        )
        try:
            return list(self._events(process, deadline, enough))
        finally:
            killer.kill()
            killer.wait()
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            assert process.stdout is not None
            process.stdout.close()

    @staticmethod
    def _events(process: subprocess.Popen[bytes], deadline: float, enough: str) -> Iterator[dict[str, Any]]:
        assert process.stdout is not None
        for line in process.stdout:
            event = json.loads(line) if line.startswith(b"{") else {"event": "text", "text": line.decode()}
            yield event
            if enough in json.dumps(event, ensure_ascii=False) or time.monotonic() > deadline:
                return


def text_of(events: list[dict[str, Any]]) -> str:
    return "\n".join(json.dumps(event, ensure_ascii=False) for event in events)


def test_with_no_network_it_says_what_to_do(tmp_path: Path) -> None:
    machine = BareMachine(tmp_path, MYOWNMESH_OFFLINE="1")
    said = text_of(machine.up(40, "what helps"))
    for needed in (
        "no mesh daemon",
        "v0.3.8",
        "releases/download/v0.3.8/myownmesh-",
        "--seed-dir",
        "MYOWNLLM_MESH_BIN",
    ):
        assert needed in said, said


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("NO_PROXY", "localhost,[::1]"),
        ("HTTPS_PROXY", "nonsense://127.0.0.1"),
        ("SSL_CERT_FILE", "/proc/nonexistent/roots.pem"),
        ("MYOWNMESH_RELEASE_BASE", "https://[::1"),
        ("MYOWNMESH_GITHUB_TOKEN", "ü"),
    ],
)
def test_a_variable_that_cannot_be_used_is_named_and_the_app_stays(tmp_path: Path, variable: str, value: str) -> None:
    """It tries again when it has waited; `up` ends only because the test has heard enough."""
    said = text_of(BareMachine(tmp_path, **{variable: value}).up(40, "what helps"))
    assert value in said or variable in said, said
    assert "Traceback" not in said
    assert "no mesh daemon to start" in said


def test_what_it_downloads_is_verified_and_shown(tmp_path: Path, server: ReleaseServer) -> None:
    """The wrong daemon under the right name: progress is visible, the refusal too, and nothing is started."""
    server.publish("v0.3.8", ASSET, tar_gz(("myownmesh", daemon("0.3.7"))))
    machine = BareMachine(tmp_path, MYOWNMESH_RELEASE_BASE=server.base)
    said = text_of(machine.up(40, "what helps"))
    for needed in ("fetching release v0.3.8", f"{ASSET}: ", "MB/s", "reports 0.3.7", "v0.3.8"):
        assert needed in said, said
    assert not list((tmp_path / ".myownllm" / "binaries").glob("myownmesh-*"))
