"""Bulk and calls over paths with delay, loss and a bottleneck, beside a plain TCP copy over the same path.

    sudo .venv/bin/python benchmarks/bench_wan.py [--seconds 10] [PATH ...]     e.g. "50 ms / 1 %"

Two hosts in network namespaces (tests/support/wan.py); one session of ours each, offer and answer go around the
network. Columns: MB/s of 48 KiB messages; MB/s of a TCP connection with CUBIC; milliseconds to the open channel; then
milliseconds of a small echoed message, alone (p50, p95, p99) and beside the bulk (p50, p99).
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import trio
from attrs import frozen

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from myownmesh.engine.links import ChannelOpened, LocalCandidate, LocalDescription, SdpType
from myownmesh.protocol.signals import Candidate
from myownmesh.transport import load_webrtc, run_guest
from myownmesh.transport.session import Order
from support.wan import Wan, missing_tools

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from myownmesh.engine.links import LinkEvent
    from myownmesh.transport.session import Session

MESSAGE_BYTES: Final = 48 * 1024
ECHO_EVERY_S: Final = 0.05
ALONE_SECONDS: Final = 3.0
BULK, ASK, ANSWER = b"b", b"?", b"!"
TCP_PORT: Final = 7001
PATIENCE_S: Final = 30.0
"""For what should have ended already."""

HEADING: Final = (
    f"{'path':26} {'mesh':>7} {'TCP':>7} {'open':>7}   {'alone: p50':>10} {'p95':>7} {'p99':>7}   "
    f"{'beside: p50':>11} {'p99':>7}"
)

PATHS: Final[Mapping[str, Mapping[str, float]]] = {
    "0 ms": {},
    "20 ms": {"delay": 10},
    "50 ms": {"delay": 25},
    "100 ms": {"delay": 50},
    "20 ms / 0.1 %": {"delay": 10, "loss": 0.1},
    "50 ms / 0.1 %": {"delay": 25, "loss": 0.1},
    "50 ms / 1 %": {"delay": 25, "loss": 1},
    "50 ms / 2 %": {"delay": 25, "loss": 2},
    "100 ms / 1 %": {"delay": 50, "loss": 1},
    "200 ms / 2 %": {"delay": 100, "loss": 2},
    "20 Mbit/s, 50 ms, 64 KB": {"delay": 25, "rate": 20, "queue": 64},
    "20 Mbit/s, 50 ms, 256 KB": {"delay": 25, "rate": 20, "queue": 256},
    "100 Mbit/s, 20 ms": {"delay": 10, "rate": 100},
}


@frozen
class Figures:
    """What one path gave."""

    mesh_mb_s: float
    tcp_mb_s: float
    open_ms: float
    alone_ms: tuple[float, float, float]
    beside_ms: tuple[float, float]


def share(times: list[float], per_mille: int) -> float:
    """A quantile in milliseconds; not a number when nothing came back."""
    times.sort()
    return times[min(len(times) - 1, len(times) * per_mille // 1000)] * 1e3 if times else float("nan")


# ── one end, in its own process on its own host ───────────────────────────────────────────────────────────────────────


class End:
    """A session whose signals are lines on standard input and output."""

    def __init__(self) -> None:
        self.session: Session
        self.opened = trio.Event()
        self.received = 0
        self.began = self.ended = 0.0
        self.times: list[float] = []

    def event(self, event: LinkEvent) -> None:
        match event:
            case LocalDescription(kind, sdp):
                tell(kind=kind.value, sdp=sdp)
            case LocalCandidate(candidate):
                tell(candidate=candidate.candidate)
            case ChannelOpened():
                self.session.admit()
                self.opened.set()

    def frame(self, data: bytes) -> None:
        if data[:1] == BULK:
            self.ended = time.perf_counter()
            self.began = self.began or self.ended
            self.received += len(data)
        elif data[:1] == ASK:
            self.session.send(ANSWER + data[1:], Order.FREE)
        else:
            self.times.append(time.perf_counter() - float(data[1:]))

    def hear(self, told: dict[str, Any]) -> None:
        if "candidate" in told:
            self.session.add_candidate(Candidate(told["candidate"], sdp_mid="", sdp_mline_index=0))
        elif told["kind"] == SdpType.OFFER.value:
            self.session.take_offer(told["sdp"])
        else:
            self.session.take_answer(told["sdp"])

    async def ask_for(self, seconds: float) -> list[float]:
        """Echo a small message every `ECHO_EVERY_S`; the times of those that came back."""
        self.times = []
        with trio.move_on_after(seconds):
            while True:
                self.session.send(ASK + repr(time.perf_counter()).encode(), Order.FREE)
                await trio.sleep(ECHO_EVERY_S)
        return self.times

    async def send_bulk(self) -> None:
        """Until cancelled."""
        message = BULK + bytes(MESSAGE_BYTES - 1)
        while True:
            while self.session.buffered_bytes < self.session.backlog_bytes:
                self.session.send(message)
            drained = trio.Event()
            self.session.when_drained(drained.set)
            await drained.wait()


def tell(**members: object) -> None:
    print(json.dumps(members), flush=True)


async def run_end(end: str, seconds: float) -> None:
    factory = await load_webrtc()
    here = End()
    here.session = factory.open(offerer=end == "offer", ice_servers=(), on_event=here.event, on_frame=here.frame)
    async with trio.open_nursery() as nursery, trio.lowlevel.FdStream(os.dup(0)) as lines:
        nursery.start_soon(listen, lines, here, nursery.cancel_scope)
        tell(ready=True)
        if end == "offer":
            started = time.perf_counter()
            here.session.make_offer()
            await here.opened.wait()
            took = (time.perf_counter() - started) * 1e3
            alone = await here.ask_for(ALONE_SECONDS)
            figures = [share(alone, n) for n in (500, 950, 990)]
            async with trio.open_nursery() as bulk:
                bulk.start_soon(here.send_bulk)
                beside = await here.ask_for(seconds)
                bulk.cancel_scope.cancel()
            tell(open_ms=took, alone=figures, beside=[share(beside, n) for n in (500, 990)])
        await trio.sleep_forever()
    tell(received=here.received, seconds=here.ended - here.began)
    here.session.close()
    await factory.aclose()


async def listen(lines: trio.lowlevel.FdStream, here: End, scope: trio.CancelScope) -> None:
    rest = b""
    async for chunk in lines:
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            here.hear(json.loads(line))
    scope.cancel()


def run_tcp(end: str, address: str, seconds: float) -> None:
    if end == "receive":
        with socket.create_server((address, TCP_PORT)) as server:
            tell(ready=True)
            stream, _ = server.accept()
            with stream:
                received = len(stream.recv(1 << 20))
                began = last = time.perf_counter()
                while data := stream.recv(1 << 20):
                    received += len(data)
                    last = time.perf_counter()
            tell(received=received, seconds=last - began)
        return
    with socket.create_connection((address, TCP_PORT)) as stream:
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"cubic")  # whatever this kernel prefers
        until = time.perf_counter() + seconds
        while time.perf_counter() < until:
            stream.sendall(bytes(MESSAGE_BYTES))


# ── the grid ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def start(wan: Wan, host: int, *words: str) -> subprocess.Popen[str]:
    return wan.popen(host, [sys.executable, __file__, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def hear(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise SystemExit(f"an end has ended with {process.wait()}")
    told: dict[str, Any] = json.loads(line)
    return told


def measure_tcp(wan: Wan, seconds: float) -> float:
    receiver = start(wan, 2, "--tcp", "receive", wan.ips[1], "--seconds", str(seconds))
    hear(receiver)
    sender = start(wan, 1, "--tcp", "send", wan.ips[1], "--seconds", str(seconds))
    told = hear(receiver)
    for process in (sender, receiver):
        process.communicate()
    return float(told["received"]) / float(told["seconds"]) / 1e6


def carry(source: subprocess.Popen[str], target: subprocess.Popen[str], figures: queue.Queue[dict[str, Any]]) -> None:
    """Hand an end's signals to the other one, around the network; figures are kept. Until the end of its output."""
    assert source.stdout is not None
    assert target.stdin is not None
    for line in source.stdout:
        told = json.loads(line)
        if "sdp" in told or "candidate" in told:
            target.stdin.write(line)
            target.stdin.flush()
        else:
            figures.put(told)


def measure(wan: Wan, seconds: float) -> Figures:
    tcp = measure_tcp(wan, seconds)
    ends = [start(wan, host, "--end", end, "--seconds", str(seconds)) for host, end in ((1, "offer"), (2, "answer"))]
    found: list[queue.Queue[dict[str, Any]]] = [queue.Queue(), queue.Queue()]
    threads = [threading.Thread(target=carry, args=(ends[n], ends[1 - n], found[n])) for n in (0, 1)]
    for process in reversed(ends):
        hear(process)
    for thread in threads:
        thread.start()
    limit = ALONE_SECONDS + seconds + PATIENCE_S
    offering = found[0].get(timeout=limit)
    for process in ends:
        assert process.stdin is not None
        process.stdin.close()
    answering = found[1].get(timeout=limit)
    for process, thread in zip(ends, threads, strict=True):
        process.wait(limit)
        thread.join(limit)
    rate = answering["received"] / answering["seconds"] / 1e6
    return Figures(rate, tcp, offering["open_ms"], tuple(offering["alone"]), tuple(offering["beside"]))


def take_paths(parser: argparse.ArgumentParser) -> None:
    """Let a command line name some of `PATHS`, as `paths`."""
    names = ", ".join(PATHS).replace("%", "%%")
    parser.add_argument("paths", nargs="*", metavar="PATH", help=f"of {names}; all without any")


def check_paths(parser: argparse.ArgumentParser, paths: Iterable[str]) -> None:
    """End the program with a sentence if one of these is none."""
    if unknown := [name for name in paths if name not in PATHS]:
        parser.error(f"no such path: {', '.join(unknown)}")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    take_paths(parser)
    parser.add_argument("--seconds", type=float, default=10.0, help="of bulk on each path")
    parser.add_argument("--end", choices=("offer", "answer"), help=argparse.SUPPRESS)
    parser.add_argument("--tcp", choices=("send", "receive"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.end:
        run_guest(run_end, args.end, args.seconds)
        return 0
    if args.tcp:
        run_tcp(args.tcp, args.paths[0], args.seconds)
        return 0
    check_paths(parser, args.paths)
    if missing := missing_tools():
        print(f"no network can be made here; missing: {', '.join(missing)}", file=sys.stderr)
        return 2
    print(HEADING)
    for name in args.paths or PATHS:
        with Wan(name=f"bench{os.getpid()}-", **PATHS[name]) as wan:
            got = measure(wan, args.seconds)
        alone = "{:10.1f} {:7.1f} {:7.1f}".format(*got.alone_ms)
        beside = "{:11.1f} {:7.1f}".format(*got.beside_ms)
        print(f"{name:26} {got.mesh_mb_s:7.2f} {got.tcp_mb_s:7.2f} {got.open_ms:7.0f}   {alone}   {beside}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
