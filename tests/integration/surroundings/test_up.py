"""`myownllm up`, with the daemon that it starts, where something around it is wrong or lacking: it does its work."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.preloaded import build, missing

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MYOWNLLM = Path(sys.executable).with_name("myownllm")
PATIENCE_S = 40.0


def may_mount() -> bool:
    """May this user make a view of the file system of its own?"""
    return shutil.which("unshare") is not None and (
        subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode == 0
    )


@pytest.fixture
def home() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="m") as folder:  # the path of a socket is short
        yield Path(folder)


def command(home: Path, *words: str, environ: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [MYOWNLLM, *words],
        cwd=home,
        env=surroundings(home, environ),
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )


def surroundings(home: Path, environ: Mapping[str, str]) -> dict[str, str]:
    return {"HOME": str(home), "PATH": os.defpath, "LC_ALL": "C.UTF-8", **environ}


def works(home: Path, environ: Mapping[str, str]) -> str:
    """Start it, have it follow a change of its saved networks, end it; what it and its daemon have said."""
    relay = ("--relay", "ws://127.0.0.1:9")
    assert command(home, "networks", "add", "first", *relay, environ=environ).returncode == 0
    said = home / "said.txt"
    with said.open("wb") as file:
        app = subprocess.Popen(
            [MYOWNLLM, "up", "--json"], cwd=home, env=surroundings(home, environ), stdout=file, stderr=file
        )
    try:
        deadline = time.monotonic() + PATIENCE_S
        while '"network":"first"' not in said.read_text() or not (home / ".myownllm" / "app.sock").exists():
            assert app.poll() is None, said.read_text()
            assert time.monotonic() < deadline, said.read_text()
            time.sleep(0.05)
        followed = command(home, "networks", "add", "second", *relay, environ=environ)
        assert "The running app has joined it" in followed.stdout, (followed, said.read_text())
        app.send_signal(signal.SIGINT)
        assert app.wait(PATIENCE_S) == 0
    finally:
        app.kill()
        app.wait()
    log = home / ".myownllm" / "logs" / "daemon.log"
    told = said.read_text() + (log.read_text() if log.exists() else "")
    assert "Traceback" not in told
    assert "Group" not in told
    return told


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere every name of a file is text")
def test_in_a_home_whose_name_is_no_text(home: Path) -> None:
    app = home / os.fsdecode(b"h\xff")
    app.mkdir()
    told = works(app, {})
    assert "op status failed" not in told
    assert "daemon.sock" in told


@pytest.mark.skipif(missing() != "", reason=missing())
def test_on_a_file_system_with_less(home: Path) -> None:
    library = build("lesser_file_system", home)
    works(home, {"LD_PRELOAD": str(library), "LACKS": "modes links locks sync"})
    assert (home / ".myownllm" / "config.json.bak").exists()


@pytest.mark.slow
def test_with_a_variable_that_no_request_could_be_made_with(home: Path) -> None:
    """Nothing has to be fetched, so nobody is bothered."""
    told = works(home, {"NO_PROXY": "localhost,[::1]", "SSL_CERT_FILE": "/proc/nonexistent/roots.pem"})
    assert "NO_PROXY" not in told


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_ended_while_a_program_hangs(home: Path, number: signal.Signals) -> None:
    """Also by a terminal that is closed: the program, what it started and its folder are gone."""
    (home / "tmp").mkdir()
    hanging = home / "hanging"
    hanging.write_text(f"#!/bin/sh\ntrap '' TERM HUP\nsleep 987 &\necho $$ >{home}/pid\nsleep 987\n")
    hanging.chmod(0o700)
    environ = {"MYOWNLLM_MESH_BIN": str(hanging), "TMPDIR": str(home / "tmp")}
    assert command(home, "networks", "add", "first", environ=environ).returncode == 0
    app = subprocess.Popen([MYOWNLLM, "up", "--json"], env=surroundings(home, environ), stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + PATIENCE_S
        while not (home / "pid").exists() or not (home / "pid").read_text():
            assert app.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        app.send_signal(number)
        assert app.wait(PATIENCE_S) == 0
    finally:
        app.kill()
        app.wait()
    while _group_is_there(int((home / "pid").read_text())):  # until init has seen the end of an orphan
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert not list((home / "tmp").iterdir())


def _group_is_there(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def reads_only(home: Path, command: list[str], begin: str = "") -> None:
    """It starts, explains why nothing can be saved, starts no daemon, and ends well (spec 08 FE-12.52)."""
    app = subprocess.Popen(
        ["unshare", "--mount", "sh", "-c", f'{begin} exec "$@"', "sh", *command] if begin else command,
        env=surroundings(home, {}),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert app.stdout is not None
    with app:
        said = []
        while '"event":"pill"' not in (said[-1:] or [""])[0] or "no mesh daemon is started" not in said[-1]:
            said.append(app.stdout.readline())
            assert said[-1], said
        assert any("reads what is saved, changes nothing" in line for line in said)
        app.send_signal(signal.SIGINT)
        rest = app.stdout.read()
        assert app.wait(PATIENCE_S) == 0, rest
    assert '"state":"spawning"' not in "".join(said) + rest
    assert '"state":"up"' not in "".join(said) + rest


@pytest.mark.skipif(sys.platform != "linux", reason="needs a place where nobody can make a folder")
def test_without_a_home_directory() -> None:
    reads_only(Path("/proc/nobody"), [str(MYOWNLLM), "up", "--json"])


@pytest.mark.skipif(not may_mount(), reason="NO MOUNTS HERE, so a read-only home is not tested: needs root and unshare")
def test_in_a_home_that_is_read_only(home: Path) -> None:
    assert command(home, "networks", "add", "first", "--relay", "ws://127.0.0.1:9", environ={}).returncode == 0
    begin = f"mount --bind {home} {home} && mount -o remount,bind,ro {home} &&"
    reads_only(home, [str(MYOWNLLM), "up", "--json"], begin)
