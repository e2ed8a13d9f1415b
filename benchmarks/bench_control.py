"""How fast the control socket answers, alone: a mesh that answers at once, one server and one client process.

    python benchmarks/bench_control.py [--seconds 2] [--loop trio|guest|host] [--socket PATH]

`trio` watches sockets through plain trio, `guest` through trio as a guest of uvloop, `host` through uvloop itself,
which is what the daemon does. With `--socket` a running daemon is measured instead (status only).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import selectors
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CONNECTIONS = 16
PEER = "fgwlvykbxtfpbmrodkkngtily43b4utnbp7bfsexss6jgiuwnxlq"
LOOPS = ("trio", "guest", "host")


# ── the server process ────────────────────────────────────────────────────────────────────────────────────────────────


class _Network:
    config_id = network_id = "home"

    def call(self, _peer: str, _method: str, payload: Any, on_done: Callable[[Any, None], None], _ms: Any) -> Any:
        on_done(payload, None)
        return lambda: None

    def post_to(self, _peer: str, _channel: str, _payload: Any, on_done: Callable[[None], None]) -> None:
        on_done(None)


class _Identity:
    device_id, label = PEER, "bench"


class _Mesh:
    identity = _Identity()

    def __init__(self) -> None:
        self.on_network_added: list[Any] = []
        self.on_network_removed: list[Any] = []
        self.network = _Network()

    def networks(self) -> list[_Network]:
        return [self.network]

    def find(self, _alias: str) -> _Network:
        return self.network

    def subscribe(self, _callback: Any) -> Callable[[], None]:
        return lambda: None


def serve(path: Path, how: str) -> None:
    """Serve until killed."""
    import trio

    from myownmesh.control.server import ControlServer

    def server(readiness: Any = None) -> ControlServer:
        return ControlServer(
            cast("Any", _Mesh()), path, version="0.3.8", instance="0" * 16, home=path.parent, readiness=readiness
        )

    if how == "trio":
        trio.run(server().serve)
        return
    import asyncio

    import uvloop

    async def host() -> None:
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        trio.lowlevel.start_guest_run(
            server(loop if how == "host" else None).serve,
            run_sync_soon_threadsafe=loop.call_soon_threadsafe,
            run_sync_soon_not_threadsafe=loop.call_soon,
            done_callback=done.set_result,
            host_uses_signal_set_wakeup_fd=True,
        )
        await done

    uvloop.run(host())


# ── the client process ────────────────────────────────────────────────────────────────────────────────────────────────


def connect(path: Path) -> socket.socket:
    """Connect as soon as the server listens."""
    deadline = time.monotonic() + 10
    while True:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.connect(str(path))
        except OSError:
            sock.close()
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return sock


def ping_pong(path: Path, line: bytes, seconds: float, connections: int) -> tuple[float, float]:
    """Requests per second and the median latency in microseconds, one request under way on each connection."""
    selector = selectors.DefaultSelector()
    sockets = [connect(path) for _ in range(connections)]
    started: dict[socket.socket, float] = {}
    for sock in sockets:
        selector.register(sock, selectors.EVENT_READ)
        started[sock] = time.perf_counter()
        sock.sendall(line)
    times: list[float] = []
    begin = time.perf_counter()
    while time.perf_counter() - begin < seconds:
        for key, _ in selector.select(1):
            sock = cast("socket.socket", key.fileobj)
            if not sock.recv(65536).endswith(b"\n"):
                continue
            now = time.perf_counter()
            times.append(now - started[sock])
            started[sock] = now
            sock.sendall(line)
    took = time.perf_counter() - begin
    for sock in sockets:
        sock.close()
    times.sort()
    return len(times) / took, times[len(times) // 2] * 1e6


def pipelined(path: Path, line: bytes, seconds: float, in_flight: int) -> float:
    """Requests per second with `in_flight` of them pipelined on one connection."""
    sock = connect(path)
    answered = 0
    begin = time.perf_counter()
    batch = line * in_flight
    while time.perf_counter() - begin < seconds:
        view = memoryview(batch)
        left = in_flight
        sock.setblocking(False)
        selector = selectors.DefaultSelector()
        selector.register(sock, selectors.EVENT_READ | selectors.EVENT_WRITE)
        while left:
            for _, events in selector.select(1):
                if events & selectors.EVENT_WRITE and view:
                    with contextlib.suppress(BlockingIOError):
                        view = view[sock.send(view) :]
                    if not view:
                        selector.modify(sock, selectors.EVENT_READ)
                if events & selectors.EVENT_READ:
                    left -= sock.recv(65536).count(b"\n")
        selector.close()
        answered += in_flight
    took = time.perf_counter() - begin
    sock.close()
    return answered / took


def request(**members: object) -> bytes:
    return json.dumps(members).encode() + b"\n"


STATUS = request(op="status")
CALL = request(op="rpc_call", network="home", peer=PEER, method="echo", payload={"text": "x" * 138})
BULK = request(op="channel_send_to", network="home", channel="bulk", peer=PEER, payload="x" * 49_152)


@contextlib.contextmanager
def running(how: str) -> Iterator[tuple[Path, int]]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "daemon.sock"
        process = subprocess.Popen([sys.executable, __file__, "--serve", str(path), "--loop", how])
        try:
            connect(path).close()
            yield path, process.pid
        finally:
            process.kill()
            process.wait()


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(how: str, seconds: float) -> None:
    with running(how) as (path, pid):
        for name, line, connections in (
            ("status", STATUS, 1),
            ("status", STATUS, CONNECTIONS),
            ("rpc_call", CALL, CONNECTIONS),
        ):
            before = cpu_seconds(pid)
            rate, p50 = ping_pong(path, line, seconds, connections)
            cost = (cpu_seconds(pid) - before) / (rate * seconds) * 1e6
            print(
                f"{how:6} {name:9} {connections:2} connections  {rate:8.0f}/s  p50 {p50:6.0f} µs  "
                f"server {cost:5.1f} µs each"
            )
        before = cpu_seconds(pid)
        rate = pipelined(path, BULK, seconds, 64)
        cost = (cpu_seconds(pid) - before) / (rate * seconds) * 1e6
        print(f"{how:6} bulk 48 KiB, 64 pipelined   {rate * 48 / 1024:8.1f} MiB/s   server {cost:5.1f} µs each")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--loop", choices=LOOPS)
    parser.add_argument("--socket", type=Path, help="measure this running daemon")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve is not None:
        serve(given.serve, given.loop)
    elif given.socket is not None:
        rate, p50 = ping_pong(given.socket, STATUS, given.seconds, CONNECTIONS)
        print(f"status {CONNECTIONS} connections {rate:.0f}/s p50 {p50:.0f} µs")
    else:
        for how in [given.loop] if given.loop else LOOPS:
            measure(how, given.seconds)
        print(f"client CPU {resource.getrusage(resource.RUSAGE_SELF).ru_utime:.1f} s")


if __name__ == "__main__":
    main()
