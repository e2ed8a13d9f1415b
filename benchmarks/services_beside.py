"""What hosting does to the host itself: the daemon's own calls beside a loaded TURN server and relay, and idle workers.

The rows of `bench_services.py --beside` (Linux, loopback, no root). Two daemons with one link; the first one hosts the
relay and TURN, other processes load them, and calls go over the link meanwhile, alternating with calls at rest.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import psutil

from bench_mesh import EchoServer, rpc_latency
from mesh_client import Control, Pair, busy_s, free_port, wait_active

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mesh_client import Daemon

HERE: Final = "127.0.0.1"
USER, PASSWORD = "bench", "a password"
ROUNDS: Final = 3
CALLS: Final = 1000
IDLE_S: Final = 10.0
SETTLES_S: Final = 3.0
LOADS: Final = ("turn", "relay")
UNLIMITED: Final = {"max_connections_per_ip": 0, "max_event_rate": 0, "max_req_rate": 0}


def beside_rows() -> Iterator[str]:
    turn_port = free_port()
    with Pair() as pair:
        pair.start()
        yield from _hosting_nothing(pair.b)
        control = Control(pair.a.home)
        turn = {"enabled": True, "bind": HERE, "port": turn_port, "public_ip": HERE}
        turn["credentials"] = [{"username": USER, "password": PASSWORD}]
        relay = {"enabled": True, "bind": HERE, "port": pair.port, "limits": UNLIMITED}
        control.request("services_set", services={"signaling": relay, "turn": turn})
        pair.join("bench")
        wait_active(control, "bench")
        EchoServer(pair, "bench").start()
        yield from _idle_workers(pair.a)
        ports = {"turn": turn_port, "relay": pair.port}
        for load in LOADS:
            yield _calls_beside(pair, load, ports[load])


def _calls_beside(pair: Pair, load: str, port: int) -> str:
    at_rest, loaded, rates = [], [], []
    for _ in range(ROUNDS):
        at_rest.append(rpc_latency(pair, "bench", CALLS)["p50_ms"])
        words = [sys.executable, str(Path(__file__).with_name("services_load.py")), load, str(port)]
        with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            time.sleep(0.5)
            loaded.append(rpc_latency(pair, "bench", CALLS)["p50_ms"])
            process.stdin.close()  # it ends, and says how much it was
            rates.append(float(process.stdout.readline()))
    rest, beside = statistics.median(at_rest), statistics.median(loaded)
    what = f"RPC p50 beside {load} at {statistics.median(rates):,.0f}/s"
    return f"{what:44} {beside:6.2f}, at rest {rest:6.2f} ms, {beside / rest:5.2f} times (2)"


def _idle_workers(host: Daemon) -> Iterator[str]:
    time.sleep(SETTLES_S)
    for worker in _workers(host):
        command = worker.cmdline()[-1]
        began, spent = time.monotonic(), busy_s(worker.pid)
        time.sleep(IDLE_S)
        each_s = (busy_s(worker.pid) - spent) / (time.monotonic() - began)
        memory = worker.memory_info().rss / 2**20
        yield f"{command + ', idle':44} {memory:6.1f} MB (30), {each_s * 1e3:5.2f} ms a second (1)"


def _hosting_nothing(daemon: Daemon) -> Iterator[str]:
    time.sleep(SETTLES_S)
    began, spent = time.monotonic(), daemon.busy_s()
    time.sleep(IDLE_S)
    each_s = (daemon.busy_s() - spent) / (time.monotonic() - began)
    what, workers = "a daemon that hosts nothing", len(_workers(daemon))
    yield f"{what:44} {daemon.memory_mb():6.1f} MB, {each_s * 1e3:5.2f} ms a second, {workers} workers (0)"


def _workers(daemon: Daemon) -> list[Any]:
    assert daemon.process is not None
    return [
        each for each in psutil.Process(daemon.process.pid).children(recursive=True) if "worker" in each.cmdline()[-1]
    ]
