"""The figures of the README: two daemons seen through their control sockets, beside a raw aiortc data channel.

    .venv/bin/python benchmarks/bench_mesh.py [--quick] [--command PATH] [--json]

Every figure is measured the way docs/figures.md describes. Absolute numbers drift with the machine; compare the ratio
to the raw data channel of the same run.
"""

from __future__ import annotations

import argparse
import json
import os
import selectors
import signal
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, cast

from mesh_client import Control, Pair, wait_active

ECHO_PAYLOAD = b'{"text":"' + b"x" * 139 + b'"}'  # 150 bytes
BULK_PAYLOAD = b'"' + b"y" * (48 * 1024 - 2) + b'"'
IN_FLIGHT = 64


class EchoServer(threading.Thread):
    """Answers `echo` on one daemon: an event connection and an answering connection, in one epoll loop."""

    def __init__(self, pair: Pair, network: str) -> None:
        super().__init__(daemon=True)
        self.events = Control(pair.b.home)
        client_id = self.events.subscribe()
        self.answers = Control(pair.b.home)
        self.answers.request("rpc_register", client_id=client_id, network=network, method="echo", streaming=False)

    def run(self) -> None:
        marker = b'"request_id":"'
        pending = 0
        for line in self.events.lines():
            if b'"rpc_inbound"' not in line:
                continue
            at = line.index(marker) + len(marker)
            request_id = line[at : line.index(b'"', at)]
            self.answers.send(b'{"op":"rpc_respond","request_id":"' + request_id + b'","ok":' + ECHO_PAYLOAD + b"}\n")
            pending += 1
            if pending >= 32:  # read the acknowledgements now and then, so that the socket never fills
                for _ in range(pending):
                    self.answers.receive()
                pending = 0


def rpc_latency(pair: Pair, network: str, calls: int) -> dict[str, float]:
    control = Control(pair.a.home)
    request = call_line(network, pair.peer_of(pair.a))
    for _ in range(50):
        control.exchange(request)
    times = []
    for _ in range(calls):
        began = time.perf_counter()
        answer = control.exchange(request)
        times.append(time.perf_counter() - began)
        assert answer.startswith(b'{"ok":true'), answer[:200]
    control.close()
    times.sort()
    return {"p50_ms": times[len(times) // 2] * 1e3, "p99_ms": times[int(len(times) * 0.99)] * 1e3}


def rpc_rate(pair: Pair, network: str, seconds: float, callers: int = 16) -> float:
    request = call_line(network, pair.peer_of(pair.a))
    selector = selectors.DefaultSelector()
    for _ in range(callers):
        control = Control(pair.a.home)
        selector.register(control, selectors.EVENT_READ)
        control.send(request)
    done = 0
    began = time.perf_counter()
    while (now := time.perf_counter()) - began < seconds:
        for key, _ in selector.select(timeout=1):
            caller = cast("Control", key.fileobj)
            caller.receive()  # one request is under way, so one answer is there
            done += 1
            caller.send(request)
    for key in [*selector.get_map().values()]:
        key.fileobj.close()  # type: ignore[union-attr]  # sockets are registered above
    return done / (now - began)


def bulk(pair: Pair, network: str, megabytes: int) -> dict[str, float]:
    """`channel_send_to` from one connection with 64 requests in flight, to one subscriber of the other daemon."""
    count = megabytes * 1024 * 1024 // len(BULK_PAYLOAD)
    events = Control(pair.b.home)
    client_id = events.subscribe()
    Control(pair.b.home).request("channel_subscribe", client_id=client_id, network=network, channel="bulk")
    sender = Control(pair.a.home)
    peer = pair.peer_of(pair.a).encode()
    line = (
        b'{"op":"channel_send_to","network":"'
        + network.encode()
        + b'","channel":"bulk","peer":"'
        + peer
        + b'","payload":'
        + BULK_PAYLOAD
        + b"}\n"
    )
    window = threading.Semaphore(IN_FLIGHT)
    failures: list[bytes] = []

    def collect() -> None:
        for _ in range(count):
            answer = sender.receive()
            if not answer.startswith(b'{"ok":true'):
                failures.append(answer)
            window.release()

    collector = threading.Thread(target=collect, daemon=True)
    cpu = pair.a.cpu_s() + pair.b.cpu_s()
    began = time.perf_counter()
    collector.start()

    def send() -> None:
        for _ in range(count):
            window.acquire()
            sender.send(line)

    threading.Thread(target=send, daemon=True).start()
    received, size = 0, 0
    while received < count:
        got = events.receive()
        if b'"channel_inbound"' in got[:64] or b'"channel_inbound"' in got[-64:] or len(got) > len(BULK_PAYLOAD):
            received += 1
            size += len(BULK_PAYLOAD)
        if failures:
            raise RuntimeError(failures[0].decode())
    took = time.perf_counter() - began
    cpu = pair.a.cpu_s() + pair.b.cpu_s() - cpu
    for control in (events, sender):
        control.close()
    return {"mb_per_s": size / took / 1e6, "cpu_s_per_gb": cpu / (size / 1e9)}


def return_after_kill(pair: Pair, network: str) -> float:
    """Kill the second daemon with -9, start it at once; seconds until both see the other active again."""
    pair.b.stop(signal.SIGKILL)
    began = time.perf_counter()
    pair.b.start()
    a, b = Control(pair.a.home), Control(pair.b.home)
    wait_active(b, network)
    wait_active(a, network)
    took = time.perf_counter() - began
    a.close()
    b.close()
    return took


def raw_aiortc() -> dict[str, float]:
    """Ping-pong and bulk of a stock aiortc data channel between two processes."""
    output = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("raw_aiortc.py"))], check=True, capture_output=True, timeout=120
    ).stdout
    figures: dict[str, float] = json.loads(output)
    return figures


def call_line(network: str, peer: str) -> bytes:
    head = json.dumps({"op": "rpc_call", "network": network, "peer": peer, "method": "echo"})[:-1]
    return head.encode() + b',"payload":' + ECHO_PAYLOAD + b"}\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer repetitions")
    parser.add_argument("--command", help="the daemon executable (default: the one of this environment)")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--skip-raw", action="store_true", help="leave out the raw data channel")
    options = parser.parse_args()
    repeats = 3 if options.quick else 10
    figures: dict[str, Any] = {}

    def show(name: str, value: str) -> None:
        if not options.json:
            print(f"{name:44} {value}", flush=True)

    if not options.skip_raw:
        figures["raw_aiortc"] = raw = raw_aiortc()
        show("raw aiortc ping-pong p50 / bulk", f"{raw['ping_p50_ms']:.2f} ms / {raw['bulk_mb_per_s']:.1f} MB/s")

    with Pair([options.command] if options.command else None) as pair:
        starts = pair.start()
        for _ in range(repeats):
            pair.b.stop()
            starts.append(pair.b.start())
        figures["serve_to_status_ms"] = statistics.median(starts) * 1e3
        show("serve -> first status", f"{figures['serve_to_status_ms']:.0f} ms")

        time.sleep(1.5)
        figures["memory_alone_mb"] = pair.b.memory_mb()
        joins = [pair.join(f"bench{number}") for number in range(repeats)]
        for number in range(1, repeats):
            for daemon in (pair.a, pair.b):
                control = Control(daemon.home)
                control.request("network_remove", network=f"bench{number}", purge=True)
                control.close()
        figures["add_to_active_s"] = {"p50": statistics.median(joins), "max": max(joins)}
        show("second network_add -> ACTIVE, p50 / max", f"{statistics.median(joins):.2f} / {max(joins):.2f} s")
        figures["memory_with_peer_mb"] = pair.b.memory_mb()

        EchoServer(pair, "bench0").start()
        figures["rpc"] = latency = rpc_latency(pair, "bench0", 1000 if options.quick else 5000)
        show("RPC p50 / p99", f"{latency['p50_ms']:.2f} / {latency['p99_ms']:.2f} ms")
        figures["rpc_per_s"] = rpc_rate(pair, "bench0", 2.0 if options.quick else 5.0)
        show("RPC, 16 callers", f"{figures['rpc_per_s']:.0f} calls/s")
        figures["bulk"] = rate = bulk(pair, "bench0", 32 if options.quick else 128)
        show("bulk", f"{rate['mb_per_s']:.1f} MB/s, {rate['cpu_s_per_gb']:.0f} CPU-s per GB")
        figures["memory_after_bulk_mb"] = pair.b.memory_mb()
        show(
            "resident memory alone / with a peer / after bulk",
            " / ".join(f"{figures[f'memory_{when}_mb']:.0f}" for when in ("alone", "with_peer", "after_bulk")) + " MB",
        )

        quiet = 5 if options.quick else 10
        time.sleep(2)
        cpu = pair.a.cpu_s()
        time.sleep(quiet)
        figures["idle_cpu_ms_per_s"] = (pair.a.cpu_s() - cpu) / quiet * 1e3
        show("idle CPU with one peer", f"{figures['idle_cpu_ms_per_s']:.1f} ms per second")

        returns = [return_after_kill(pair, "bench0") for _ in range(repeats)]
        figures["return_after_kill_s"] = {"p50": statistics.median(returns), "max": max(returns)}
        show("kill -9, restart -> ACTIVE, p50 / max", f"{statistics.median(returns):.2f} / {max(returns):.2f} s")
        figures["sigterm_exit_s"] = pair.b.stop()
        show("SIGTERM -> exit", f"{figures['sigterm_exit_s']:.2f} s")
    if options.json:
        json.dump(figures, sys.stdout, indent=2)
        print()
    os._exit(0)  # the echo server's thread has nothing to finish


if __name__ == "__main__":
    main()
