"""The demo is a test of itself: it checks every step, ends well, and leaves nothing behind, also when interrupted."""

from __future__ import annotations

import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from e2e.devices import DEMO, eventually, is_alive
from support.namespaces import needs_namespaces

TESTS = Path(__file__).parents[1]
FORKED = """
from e2e.devices import demo
from support.warm import words

usual = demo.Device.__init__

def made(device, *arguments, **members):
    usual(device, *arguments, **members)
    device.program = words("myownllm")

demo.Device.__init__ = made
raise SystemExit(demo.main())
"""


@pytest.mark.slow
@pytest.mark.timeout(300)
@needs_namespaces
def test_the_demo_without_any_way_out_tells_its_story() -> None:
    done = subprocess.run(
        [sys.executable, str(DEMO.with_name("demo_lan.py")), "--lan", "--json"],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    steps = [json.loads(line)["step"] for line in done.stdout.splitlines()]
    assert [step for step in steps if step != "note"] == ["start", "knock", "approve", "call", "cable", "summary"]


@pytest.mark.timeout(700)  # a story of fifty commands
def test_the_demo_tells_its_story_and_leaves_nothing(tmp_path: Path) -> None:
    """Its apps are started; the fifty commands are forked from a process that has the program loaded."""
    done = subprocess.run(
        [sys.executable, "-c", FORKED, "--json"],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
        env={
            **os.environ,
            "PYTHONPATH": f"{TESTS}{os.pathsep}{DEMO.parent}",
            "TMPDIR": "/tmp" if len(str(tmp_path)) > 40 else str(tmp_path),
        },
    )
    assert done.returncode == 0, done.stderr
    steps = [json.loads(line) for line in done.stdout.splitlines()]
    assert [s["step"] for s in steps if s["step"] not in ("note", "summary")] == [
        "start", "knock", "approve", "call", "call", "stream", "broadcast", "prompt", "conversation", "model",
        "invite", "relay", "label", "comeback", "file",
    ]  # fmt: skip
    assert steps[-1]["ok"] is True
    said = " ".join(s["text"] for s in steps if "text" in s)
    assert "dinner for have we shall What" in said
    assert "it is no real model" in said
    assert "no address, no certificate, no line of a description" in said


@pytest.mark.slow
def test_an_interrupted_demo_cleans_up() -> None:
    running = subprocess.Popen([sys.executable, str(DEMO)], stdout=subprocess.PIPE, text=True)
    assert running.stdout is not None
    for line in running.stdout:
        if "started their daemons" in line:
            break
    children = _descendants_homes()
    running.send_signal(signal.SIGINT)
    assert running.wait(60) == 130
    running.stdout.close()
    homes = [Path(h) for h in children.values()]
    assert homes
    eventually(lambda: not any(is_alive(pid) for pid in children), "every process of the demo ends")
    assert not any(home.exists() for home in homes)


def test_whoever_listens_at_a_relay_that_says_nothing_can_stop() -> None:
    """The listener's thread holds what is to be closed for as long as it waits."""
    with socket.create_server(("127.0.0.1", 0)) as relay:
        made = []
        ear = runpy.run_path(str(DEMO.with_name("demo_relay.py")))["Ear"]
        listening = threading.Thread(target=lambda: made.append(ear(relay.getsockname()[1], "room")))
        listening.start()
        served, _ = relay.accept()
        with served:
            served.sendall(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
            listening.join(30)
            closing = threading.Thread(target=made[0].close, daemon=True)
            closing.start()
            closing.join(30)
            assert not closing.is_alive()


def _descendants_homes() -> dict[int, str]:
    """Processes of this test's demo, found by their homes: pid → home."""
    import psutil  # type: ignore[import-untyped]  # it ships no types

    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = {}
        for process in psutil.Process().children(recursive=True):
            try:
                home = process.environ().get("HOME", "")
            except psutil.Error:
                continue
            if "/mm-" in home:
                found[process.pid] = home
        if found:
            return found
    return {}
