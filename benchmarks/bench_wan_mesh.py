"""Two daemons over paths with delay, loss and a bottleneck, through their control sockets.

    sudo .venv/bin/python benchmarks/bench_wan_mesh.py [--seconds 10] [--sender COMMAND] [--receiver COMMAND]
                                                       [--beside-tcp] [PATH ...]          e.g. "50 ms / 1 %"

Hosts are network namespaces (tests/support/wan.py); the sender's daemon hosts the relay. COMMAND names another daemon
that speaks the same wire. Columns: seconds from the second `network_add` to a link that is active on both sides, and
the same in round trips; MB/s of 48 KiB channel frames, 64 of them in flight; how many of those sends failed;
milliseconds of an echoed call, alone and beside the bulk (p50, p99); with `--beside-tcp` what share of both a TCP
connection (CUBIC) had that sent at the same time.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import threading
import time
from pathlib import Path
from typing import Any, Final

from bench_mesh import BULK_PAYLOAD, IN_FLIGHT, EchoServer, call_line
from bench_wan import PATHS, check_paths, hear, share, start, take_paths
from mesh_client import Control, Pair
from support.wan import Wan, missing_tools

NETWORK: Final = "wan"
RELAY_PORT: Final = 4870
ALONE_S: Final = 4.0
CALL_EVERY_S: Final = 0.05
_HEADS: Final = ("active", "trips", "MB/s", "failed"), ("alone", "p99", "beside", "p99")
HEADING: Final = " ".join(
    [f"{'path':26}", *(f"{head:>7}" for head in _HEADS[0]), *(f"{head:>8}" for head in _HEADS[1])]
)


class WanPair(Pair):
    """A daemon on either host of a `Wan`."""

    def __init__(self, wan: Wan, commands: tuple[list[str], list[str]]) -> None:
        super().__init__()
        for host, (daemon, command) in enumerate(zip((self.a, self.b), commands, strict=True), start=1):
            daemon.command = wan.command(host, command)
        self.address = wan.ips[0]
        self.port = RELAY_PORT

    def start(self) -> list[float]:
        times = [self.a.start(), self.b.start()]
        control = Control(self.a.home)
        control.request("services_set", services={"signaling": {"enabled": True, "bind": "0.0.0.0", "port": self.port}})
        control.close()
        return times

    def record(self, name: str) -> dict[str, Any]:
        record = super().record(name)
        record["signaling"]["servers"] = [f"ws://{self.address}:{self.port}"]
        return record


class Caller(threading.Thread):
    """Echoes a small message now and then until told to stop."""

    def __init__(self, pair: Pair) -> None:
        super().__init__(daemon=True)
        self.times: list[float] = []
        self._control = Control(pair.a.home)
        self._request = call_line(NETWORK, pair.peer_of(pair.a))
        self._enough = threading.Event()

    def run(self) -> None:
        while not self._enough.is_set():
            began = time.perf_counter()
            self._control.exchange(self._request)
            self.times.append(time.perf_counter() - began)
            self._enough.wait(CALL_EVERY_S)

    def stop(self) -> tuple[float, float]:
        """p50 and p99 in milliseconds."""
        self._enough.set()
        self.join(60)
        self._control.close()
        return share(self.times, 500), share(self.times, 990)


class Bulk:
    """`channel_send_to` from one connection, `IN_FLIGHT` requests at a time, to a subscriber of the other daemon."""

    def __init__(self, pair: Pair) -> None:
        self._events = Control(pair.b.home)
        client_id = self._events.subscribe()
        control = Control(pair.b.home)
        control.request("channel_subscribe", client_id=client_id, network=NETWORK, channel="bulk")
        control.close()
        self._sender = Control(pair.a.home)
        peer = pair.peer_of(pair.a)
        self._line = (
            f'{{"op":"channel_send_to","network":"{NETWORK}","channel":"bulk","peer":"{peer}","payload":'.encode()
            + BULK_PAYLOAD
            + b"}\n"
        )
        self.failed = 0
        self.received = 0
        self._began = self._last = 0.0

    def run(self, seconds: float) -> float:
        """Send for so long; returns MB/s from the first to the last frame."""
        until = time.perf_counter() + seconds
        threading.Thread(target=self._count, daemon=True).start()
        under_way = 0
        while time.perf_counter() < until or under_way:
            if under_way < IN_FLIGHT and time.perf_counter() < until:
                self._sender.send(self._line)
                under_way += 1
            else:
                self.failed += not self._sender.receive().startswith(b'{"ok":true')
                under_way -= 1
        time.sleep(1)
        return self.received / (self._last - self._began) / 1e6 if self._last > self._began else 0.0

    def _count(self) -> None:
        for line in self._events.lines():
            if len(line) > len(BULK_PAYLOAD):
                self._last = time.perf_counter()
                self._began = self._began or self._last
                self.received += len(BULK_PAYLOAD)


def measure(
    wan: Wan, commands: tuple[list[str], list[str]], seconds: float, round_trip_s: float, *, beside_tcp: bool
) -> list[str]:
    """The columns of one path."""
    with WanPair(wan, commands) as pair:
        pair.start()
        active = pair.join(NETWORK)
        EchoServer(pair, NETWORK).start()
        time.sleep(0.5)
        caller = Caller(pair)
        caller.start()
        time.sleep(ALONE_S)
        alone = caller.stop()
        caller = Caller(pair)
        bulk = Bulk(pair)
        tcp = start(wan, 2, "--tcp", "receive", wan.ips[1]) if beside_tcp else None
        if tcp is not None:
            hear(tcp)
            start(wan, 1, "--tcp", "send", wan.ips[1], "--seconds", str(seconds))
        caller.start()
        rate = bulk.run(seconds)
        beside = caller.stop()
    columns = [f"{active:7.2f}", f"{active / round_trip_s:7.1f}" if round_trip_s else f"{'-':>7}"]
    columns += [f"{rate:7.2f}", f"{bulk.failed:7d}", *(f"{each:8.1f}" for each in (*alone, *beside))]
    if tcp is not None:
        told = hear(tcp)
        tcp_rate = told["received"] / told["seconds"] / 1e6
        columns.append(f"{100 * tcp_rate / (tcp_rate + rate):6.0f} %")
    return columns


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    take_paths(parser)
    parser.add_argument("--seconds", type=float, default=10.0, help="of bulk on each path")
    ours = str(Path(sys.executable).with_name("myownmesh"))
    parser.add_argument("--sender", default=ours, metavar="COMMAND", help="the daemon that sends; ours by default")
    parser.add_argument("--receiver", default=ours, metavar="COMMAND")
    parser.add_argument("--beside-tcp", action="store_true")
    args = parser.parse_args()
    check_paths(parser, args.paths)
    if missing := missing_tools():
        print(f"no network can be made here; missing: {', '.join(missing)}", file=sys.stderr)
        return 2
    commands = (shlex.split(args.sender), shlex.split(args.receiver))
    print(HEADING)
    for name in args.paths or PATHS:
        conditions = PATHS[name]
        with Wan(name=f"mesh{os.getpid()}-", **conditions) as wan:
            trip = 2 * conditions.get("delay", 0.0) / 1e3
            columns = measure(wan, commands, args.seconds, trip, beside_tcp=args.beside_tcp)
        print(f"{name:26}", *columns, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
