"""The wide-area network of tests and benchmarks does what it says, and a link of ours lives on it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.tools import excused
from support.wan import Wan, missing_tools

MISSING = missing_tools()
pytestmark = pytest.mark.skipif(
    bool(excused(MISSING) or set(MISSING) - {"ip", "cc"}),
    reason=f"NO WIDE-AREA NETWORK HERE; missing: {', '.join(MISSING)}",
)

ROOT = Path(__file__).parents[3]
ROUND_TRIP = """
import socket, sys, time
if sys.argv[1] == "echo":
    with socket.create_server((sys.argv[2], 7000)) as server:
        print("ready", flush=True)
        stream, _ = server.accept()
        with stream:
            while data := stream.recv(100):
                stream.sendall(data)
else:
    with socket.create_connection((sys.argv[2], 7000)) as stream:
        began = time.monotonic()
        for _ in range(5):
            stream.sendall(b"x")
            stream.recv(100)
        print((time.monotonic() - began) / 5)
"""


GOODBYES = 2
"""Packets that end a connection and may still be on their way when its programs have ended."""


@pytest.fixture
def name() -> str:
    """Of namespaces, unlike that of any other worker."""
    return f"w{os.getpid()}-"


def test_a_round_trip_takes_twice_the_delay_and_the_router_counts(name: str) -> None:
    with Wan(name=name, delay=20) as wan:
        echo = wan.popen(2, [sys.executable, "-c", ROUND_TRIP, "echo", wan.ips[1]], stdout=subprocess.PIPE)
        with echo:
            assert echo.stdout is not None
            assert echo.stdout.readline() == b"ready\n"
            asking = wan.command(1, [sys.executable, "-c", ROUND_TRIP, "ask", wan.ips[1]])
            took = float(subprocess.run(asking, check=True, capture_output=True, timeout=30).stdout)
        assert 0.040 <= took < 0.060
        counted = wan.stats()
        assert counted["1-2"]["packets"] >= 6
        assert counted["1-2"]["lost"] == counted["2-1"]["lost"] == 0
        assert wan.stats()["1-2"]["packets"] <= GOODBYES, "it counts from the last look on"
    left = subprocess.run(["ip", "netns", "list"], check=True, capture_output=True, text=True).stdout
    assert name not in left


@pytest.mark.slow
def test_the_benchmark_of_real_networks_prints_its_grid() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "bench_wan.py", "--seconds", "1", "20 ms / 0.1 %"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    row = next(line for line in done.stdout.splitlines() if line.startswith("20 ms / 0.1 %"))
    figures = [float(word) for word in row.removeprefix("20 ms / 0.1 %").split()]
    ours, tcp, opened, alone_p50 = figures[:4]
    assert ours > 0
    assert tcp > 0
    assert opened >= 20
    assert alone_p50 >= 20
