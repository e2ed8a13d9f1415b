"""How fast two daemons find each other over a hosted relay, and what the relay carries.

    python benchmarks/bench_relay.py

The first process hosts the relay and device A, the second one is device B; both run as the daemon does, trio as a guest
of uvloop. Prints one line per figure.
"""

from __future__ import annotations

import multiprocessing
import random
import statistics
import time
from typing import TYPE_CHECKING

import trio
from attrs import frozen

from myownmesh.protocol import base32
from myownmesh.protocol.clock import Instant
from myownmesh.protocol.signals import AnswerReceived, OfferReceived, PeerAnnounced, SendAnswer, SendOffer
from myownmesh.services.relay import RelayServer
from myownmesh.services.relay_hub import Limits
from myownmesh.signaling.client import NostrSignaling
from myownmesh.signaling.nostr import NostrKey
from myownmesh.signaling.websocket import dial, parse_relay_url
from myownmesh.transport import run_guest

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from myownmesh.protocol.signals import InboundSignal
    from myownmesh.signaling.websocket import Socket

JOINS = 20
ROUND_TRIPS = 100
ROUND_TRIP_GAP_S = 0.03
"""A client publishes 40 events per second and no more."""
CARRIED = 2000
SUBSCRIBERS = 10
SDP = "v=0\r\n" + "a=candidate:1 1 udp 2130706431 192.168.1.5 54321 typ host\r\n" * 30


@frozen
class Settings:
    servers: tuple[str, ...]
    redundancy: int = 5
    denylist: tuple[str, ...] = ()
    public_fallback: bool = False
    listen_only: bool = False


class Device:
    """A signaling client that tells when it hears something."""

    def __init__(self, number: int, url: str) -> None:
        self.id = base32.encode(random.Random(number).randbytes(32))
        self.send, self.heard = trio.open_memory_channel["InboundSignal"](1000)
        self.signaling = NostrSignaling(
            device_id=self.id,
            network_id="benchmark",
            app_id="benchmark",
            settings=Settings((url,)),
            now=now,
            rng=random.Random(number),
        )

    async def next(self, kind: type[InboundSignal]) -> InboundSignal:
        async for signal in self.heard:
            if isinstance(signal, kind):
                return signal
        raise RuntimeError("unreachable: the channel stays open")


def now() -> Instant:
    return Instant(time.monotonic(), time.time_ns() // 1_000_000)


def show(what: str, seconds: list[float]) -> None:
    milliseconds = sorted(value * 1000 for value in seconds)
    p95 = milliseconds[int(len(milliseconds) * 0.95)]
    print(f"{what:58} p50 {statistics.median(milliseconds):6.2f} ms   p95 {p95:6.2f} ms")


# ── process one: the relay and device A ───────────────────────────────────────────────────────────────────────────────


def host(pipe: Connection) -> None:
    run_guest(_host, pipe)


async def _host(pipe: Connection) -> None:
    limits = Limits(max_event_rate=0, max_req_rate=0)
    server = RelayServer("127.0.0.1", 0, limits, now=now, rng=random.Random(0))
    async with trio.open_nursery() as nursery:
        await nursery.start(_serve, server)
        url = f"ws://127.0.0.1:{server.port}"
        device = Device(0, url)
        await nursery.start(device.signaling.run, device.send.send_nowait)
        while not device.signaling.admitted:  # noqa: ASYNC110  # a benchmark may poll
            await trio.sleep(0.01)
        pipe.send(url)
        while True:
            signal = await device.heard.receive()
            match signal:
                case PeerAnnounced():
                    pipe.send(time.monotonic())
                case OfferReceived(peer, sdp):
                    device.signaling.publish(SendAnswer(peer, sdp))
                case _:
                    pass


async def _serve(server: RelayServer, *, task_status: trio.TaskStatus[None]) -> None:
    await server.serve(task_status=task_status)


# ── process two: device B ─────────────────────────────────────────────────────────────────────────────────────────────


async def _measure(pipe: Connection) -> None:
    url: str = await trio.to_thread.run_sync(pipe.recv)
    await _measure_joins(url, pipe)
    await _measure_round_trips(url)
    await _measure_carried(url)


async def _measure_joins(url: str, pipe: Connection) -> None:
    seen: list[float] = []
    sees: list[float] = []
    for number in range(JOINS + 1):
        started = time.monotonic()
        device = Device(number + 1, url)
        async with trio.open_nursery() as nursery:
            await nursery.start(device.signaling.run, device.send.send_nowait)
            await device.next(PeerAnnounced)
            sees.append(time.monotonic() - started)
            seen.append(await trio.to_thread.run_sync(pipe.recv) - started)
            nursery.cancel_scope.cancel()
    # The first join also loads the WebSocket library.
    print(f"{'first join of a process: B hears A':58} {sees[0] * 1000:9.2f} ms")
    show("B starts to join -> B hears A, from the relay's memory", sees[1:])
    show("B starts to join -> A hears B, live", seen[1:])


async def _measure_round_trips(url: str) -> None:
    device, taken = Device(1, url), list[float]()
    async with trio.open_nursery() as nursery:
        await nursery.start(device.signaling.run, device.send.send_nowait)
        announced = await device.next(PeerAnnounced)
        assert isinstance(announced, PeerAnnounced)
        for number in range(ROUND_TRIPS):
            started = time.monotonic()
            device.signaling.publish(SendOffer(announced.peer, f"{SDP}{number}"))
            await device.next(AnswerReceived)
            taken.append(time.monotonic() - started)
            await trio.sleep(ROUND_TRIP_GAP_S)
        nursery.cancel_scope.cancel()
    show("offer of B -> answer of A, both through the relay", taken)


async def _measure_carried(url: str) -> None:
    key = NostrKey.generate(random.Random(9))
    texts = [
        f'["EVENT",{key.sign(created_at=n, kind=21077, tags=(("r", "busy"),), content=SDP).json()}]'
        for n in range(CARRIED)
    ]
    arrived = 0
    done = trio.Event()

    async def subscribe(nursery: trio.Nursery, *, task_status: trio.TaskStatus[None]) -> None:
        nonlocal arrived
        socket = await dial(nursery, parse_relay_url(url))
        await socket.send('["REQ","s",{"#r":["busy"]}]')
        await socket.receive()
        task_status.started()
        while True:
            await socket.receive()
            arrived += 1
            if arrived == CARRIED * SUBSCRIBERS:
                done.set()

    async with trio.open_nursery() as nursery:
        for _ in range(SUBSCRIBERS):
            await nursery.start(subscribe, nursery)
        publisher = await dial(nursery, parse_relay_url(url))
        nursery.start_soon(_ignore_answers, publisher)
        started = time.monotonic()
        for text in texts:
            await publisher.send(text)
        await done.wait()
        taken = time.monotonic() - started
        nursery.cancel_scope.cancel()
    print(f"{f'events of {len(texts[0])} bytes, each to {SUBSCRIBERS} subscribers':58} {CARRIED / taken:9.0f} events/s")


async def _ignore_answers(socket: Socket) -> None:
    while True:
        await socket.receive()


def main() -> None:
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(target=host, args=(theirs,), daemon=True)
    process.start()
    try:
        run_guest(_measure, ours)
    finally:
        process.terminate()
        process.join()


if __name__ == "__main__":
    main()
