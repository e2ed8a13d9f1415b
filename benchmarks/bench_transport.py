"""Speed of one link between two processes, ours beside a stock aiortc connection.

    python benchmarks/bench_transport.py            all figures of both
    python benchmarks/bench_transport.py ours       one of them
    python benchmarks/bench_transport.py aiortc

Both ends run their product loop: ours as a guest of uvloop, aiortc on uvloop. The offer and the answer cross a pipe.
Prints one line per figure.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import statistics
import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection

PINGS = 4_000
PING_BYTES = 150
BULK_BYTES = 60_000_000
BULK_MESSAGE_BYTES = (16_384, 49_152)
OPENINGS = 10
HIGH_WATER_BYTES = 256 * 1024


class Link:
    """What the measurements need of either implementation."""

    send: Callable[[bytes], None]
    buffered: Callable[[], int]
    when_drained: Callable[[Callable[[], None]], None]
    on_message: Callable[[bytes], None] = staticmethod(lambda data: None)


async def measure(link: Link, new_event: Callable[[], Any], report: Callable[[str, float], None]) -> None:
    """The active side; the other one echoes pings and counts bulk."""
    done = new_event()
    times: list[float] = []
    message = b"p" * PING_BYTES

    def pong(data: bytes) -> None:
        now = time.perf_counter()
        times.append(now - state[0])
        if len(times) < PINGS:
            state[0] = now
            link.send(message)
        else:
            done.set()

    state = [time.perf_counter()]
    link.on_message = pong
    cpu = time.process_time()
    link.send(message)
    await done.wait()
    times.sort()
    report("round trip p50, µs", times[PINGS // 2] * 1e6)
    report("round trip p99, µs", times[PINGS * 99 // 100] * 1e6)
    report("CPU of this side per round trip, µs", (time.process_time() - cpu) / PINGS * 1e6)
    for size in BULK_MESSAGE_BYTES:
        done = new_event()
        link.on_message = lambda data, done=done: done.set()  # type: ignore[misc]  # its default has no type
        payload = b"b" * size
        left = [BULK_BYTES // size]

        def pump(payload: bytes = payload, left: list[int] = left) -> None:
            while left[0] and link.buffered() < HIGH_WATER_BYTES:
                link.send(payload)
                left[0] -= 1
            if left[0]:
                link.when_drained(pump)
            else:
                link.send(b"end")

        cpu, started = time.process_time(), time.perf_counter()
        pump()
        await done.wait()
        report(f"bulk of {size} bytes, MB/s", BULK_BYTES / (time.perf_counter() - started) / 1e6)
        report(f"CPU-seconds of the sender per GB, {size} bytes", (time.process_time() - cpu) / BULK_BYTES * 1e9)


def echo(link: Link) -> Callable[[bytes], None]:
    def message(data: bytes) -> None:
        if len(data) == PING_BYTES or data == b"end":
            link.send(data)

    return message


# Ours.


def run_ours(pipe: Connection, active: bool) -> None:
    import trio

    from myownmesh.engine.links import ChannelOpened, LocalDescription, SdpType
    from myownmesh.transport import load_webrtc, run_guest

    async def main() -> None:
        factory = await load_webrtc()
        link = Link()

        def open_session(offerer: bool) -> tuple[Any, trio.Event]:
            opened = trio.Event()

            def event(item: object) -> None:
                if isinstance(item, LocalDescription):
                    pipe.send(item.sdp)
                    if item.type is SdpType.OFFER:
                        asyncio.get_running_loop().add_reader(pipe, answered)
                elif isinstance(item, ChannelOpened):
                    opened.set()

            def answered() -> None:
                asyncio.get_running_loop().remove_reader(pipe)
                session.take_answer(pipe.recv())

            session = factory.open(
                offerer=offerer, ice_servers=(), on_event=event, on_frame=lambda data: link.on_message(data)
            )
            return session, opened

        for n in range(OPENINGS):
            session, opened = open_session(active)
            if active:
                started = time.perf_counter()
                session.make_offer()
                await opened.wait()
                pipe.send(("opening, ms", (time.perf_counter() - started) * 1e3))
            else:
                session.take_offer(await trio.to_thread.run_sync(pipe.recv))
                await opened.wait()
            link.send = session.send
            link.buffered = lambda session=session: session.buffered_bytes  # type: ignore[misc]  # likewise
            link.when_drained = session.when_drained
            if n < OPENINGS - 1:
                await trio.sleep(0.05)
                session.close()
                await trio.sleep(0.05)
        if active:
            await trio.sleep(0.2)
            await measure(link, trio.Event, lambda name, value: pipe.send((name, value)))
            pipe.send(None)
        else:
            link.on_message = echo(link)
            await trio.to_thread.run_sync(pipe.recv)
        await factory.aclose()

    run_guest(main)


# The stock stack.


def run_aiortc(pipe: Connection, active: bool) -> None:
    import aiortc
    import uvloop

    async def connect(link: Link) -> Any:
        connection = aiortc.RTCPeerConnection(aiortc.RTCConfiguration(iceServers=[]))
        opened = asyncio.Event()

        def use(channel: Any) -> None:
            drained: list[Callable[[], None]] = []

            def low() -> None:
                waiting, drained[:] = drained[:], []
                for callback in waiting:
                    callback()

            channel.bufferedAmountLowThreshold = 64 * 1024
            channel.on("bufferedamountlow", low)
            channel.on("message", lambda data: link.on_message(data))
            link.send, link.buffered, link.when_drained = channel.send, lambda: channel.bufferedAmount, drained.append
            if channel.readyState == "open":
                opened.set()
            else:
                channel.on("open", opened.set)

        if active:
            started = time.perf_counter()
            use(connection.createDataChannel("myownmesh"))
            await connection.setLocalDescription(await connection.createOffer())
            pipe.send(connection.localDescription.sdp)
            answer = await asyncio.to_thread(pipe.recv)
            await connection.setRemoteDescription(aiortc.RTCSessionDescription(answer, "answer"))
            await opened.wait()
            pipe.send(("opening, ms", (time.perf_counter() - started) * 1e3))
        else:
            connection.on("datachannel", use)
            offer = await asyncio.to_thread(pipe.recv)
            await connection.setRemoteDescription(aiortc.RTCSessionDescription(offer, "offer"))
            await connection.setLocalDescription(await connection.createAnswer())
            pipe.send(connection.localDescription.sdp)
            await opened.wait()
        return connection

    async def main() -> None:
        link = Link()
        connection: Any = None
        for n in range(OPENINGS):
            connection = await connect(link)
            if n < OPENINGS - 1:
                await asyncio.sleep(0.05)
                await connection.close()
                await asyncio.sleep(0.05)
        if active:
            await measure(link, asyncio.Event, lambda name, value: pipe.send((name, value)))
            pipe.send(None)
        else:
            link.on_message = echo(link)
            await asyncio.to_thread(pipe.recv)
        await connection.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


RUNNERS = {"ours": run_ours, "aiortc": run_aiortc}


def bench(name: str) -> dict[str, float]:
    """Run two processes and carry what they say to each other."""
    context = multiprocessing.get_context("spawn")
    pipes = [context.Pipe() for _ in range(2)]
    processes = [context.Process(target=RUNNERS[name], args=(pipes[n][1], n == 0), daemon=True) for n in range(2)]
    for process in processes:
        process.start()
    active, passive = pipes[0][0], pipes[1][0]
    openings: list[float] = []
    figures: dict[str, float] = {}
    while True:
        item = active.recv()
        if item is None:
            passive.send("end")
            break
        if isinstance(item, str):
            passive.send(item)
            active.send(passive.recv())
        elif item[0] == "opening, ms":
            openings.append(item[1])
        else:
            figures[item[0]] = item[1]
    for process in processes:
        process.join(10)
    return {"offer to open channel, ms": statistics.median(openings), **figures}


def main() -> None:
    names = sys.argv[1:] or list(RUNNERS)
    results = {name: bench(name) for name in names}
    for figure in next(iter(results.values())):
        row = "   ".join(f"{name} {results[name][figure]:8.1f}" for name in names)
        print(f"{figure:48} {row}")
    print(json.dumps(results))


if __name__ == "__main__":
    main()
