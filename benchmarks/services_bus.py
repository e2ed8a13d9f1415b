"""What two relays on a bus cost beside one: the rows of `bench_services.py --bus`. A Redis of its own, on a socket."""

from __future__ import annotations

import shutil
import statistics
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from services_relay import ROOM, connected, eose, event, masked, said
from support.relay_workers import Redis, Relay

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from services_relay import Crowd

ROUNDS: Final = 300
EVENTS: Final = 1200
RATE: Final = 300
BURST: Final = 100
LIMIT_S: Final = 30.0
REQUEST: Final = said("REQ", "mom-sig-1", {"#r": ["all"]})


@contextmanager
def redis() -> Iterator[str]:
    folder = Path(tempfile.mkdtemp())
    server = Redis(folder)
    try:
        yield server.url
    finally:
        server.kill()
        shutil.rmtree(folder)


def members(relay: Relay, count: int) -> Crowd:
    crowd = connected(relay.port, count, lambda _: REQUEST)
    crowd.read_until(eose, 1)
    return crowd


def heard(data: bytes) -> int:
    return data.count(b"]}]")


class Side:
    """A room of ten at these relays: the first one speaks."""

    def __init__(self, relays: Sequence[Relay]) -> None:
        self.relays = relays
        self.crowds = [members(each, ROOM // len(relays)) for each in relays]

    @property
    def cpu_s(self) -> float:
        return sum(each.cpu_s for each in self.relays)

    def send(self, text: bytes) -> None:
        self.crowds[0].sockets[0].send(masked(text))

    def read(self, count: int) -> None:
        """Everybody has heard so many."""
        for crowd in reversed(self.crowds):
            crowd.read_until(heard, count)


def bus_rows() -> Iterator[str]:
    with redis() as url:
        pair, alone = [Relay(url), Relay(url)], Relay()
        number = iter(range(10**9))
        try:
            apart, one = Side(pair), Side([alone])
            wait_until_joined(apart, number)
            yield from times(apart, one, number)
            yield from costs(apart, one, number)
        finally:
            for each in (*pair, alone):
                each.kill()


def wait_until_joined(apart: Side, number: Iterator[int]) -> None:
    end = time.monotonic() + LIMIT_S
    while True:
        assert time.monotonic() < end, "the relays have not found each other"
        apart.send(event(next(number), "all"))
        time.sleep(0.5)
        if apart.crowds[1].has_something():
            break
    for crowd in apart.crowds:
        crowd.read_until_quiet()


def times(apart: Side, one: Side, number: Iterator[int]) -> Iterator[str]:
    """From a client to another one; the two sides take turns."""
    taken: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS):
        for side, found in zip((apart, one), taken, strict=True):
            text = event(next(number), "all")
            began = time.perf_counter()
            side.send(text)
            side.crowds[-1].read_until(heard, 1)
            found.append(time.perf_counter() - began)
            if len(side.crowds) > 1:
                side.crowds[0].read_until(heard, 1)
            time.sleep(0.005)
    ours, within = (statistics.median(each) * 1e3 for each in taken)
    more = ours - within
    yield f"two relays on a bus: p50 {ours:.2f} ms from client to client, one {within:.2f}; {more:.2f} more (1.5)"


def costs(apart: Side, one: Side, number: Iterator[int]) -> Iterator[str]:
    for name, burst in ((f"{RATE} events/s, one by one", 1), (f"in bursts of {BURST}", BURST)):
        spent = []
        for side in (apart, one):
            texts = [event(next(number), "all") for _ in range(EVENTS)]
            began, due = side.cpu_s, time.monotonic()
            for begin in range(0, EVENTS, burst):
                for text in texts[begin : begin + burst]:
                    side.send(text)
                due += burst / RATE
                while (left := due - time.monotonic()) > 0:
                    time.sleep(min(left, 0.02))
                    for crowd in side.crowds:
                        crowd.read_what_is_there()
            for crowd in side.crowds:
                crowd.read_until_quiet()
            spent.append((side.cpu_s - began) / EVENTS * 1e6)
        us, ratio = f"{spent[0]:.0f} µs of processors an event, one {spent[1]:.0f}", spent[0] / spent[1]
        yield f"two relays on a bus, {name}: {us}; {ratio:.2f} times (2)"
