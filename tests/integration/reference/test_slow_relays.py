"""Ours and the reference's program over relays that are late: back after announce, offer and answer (spec 04 §5.5).

The simulator has the other delays, and an imitation of the reference: these cost real seconds.
"""

from __future__ import annotations

import signal
import threading
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import pytest
import trio

from integration.reference.test_mixed_pairs import OURS, Device, give_identity, meet, room
from support.contention import Contention
from support.reference import REFERENCE, needs_reference
from support.slow_relay import slow_relay

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.slow_relay import SlowRelay

pytestmark = [
    pytest.mark.slow,
    needs_reference,
]

MARGIN_S = 1.0
SETTLED_S = 1.0
"""So that the rosters are written. Who is killed before that is back 3 s later: the simulator has it."""
START_S = 1.0
"""From the ready line until the rooms are joined."""


@contextmanager
def slow(url: str) -> Iterator[SlowRelay]:
    """A way to the relay at `url` that can be made slow, run by a thread of its own."""
    made: list[SlowRelay] = []
    ready, over = threading.Event(), trio.Event()
    token: list[trio.lowlevel.TrioToken] = []

    async def run() -> None:
        token.append(trio.lowlevel.current_trio_token())
        async with slow_relay(url, 0.0) as relay:
            made.append(relay)
            ready.set()
            await over.wait()

    thread = threading.Thread(target=trio.run, args=(run,))
    thread.start()
    assert ready.wait(10.0)
    try:
        yield made[0]
    finally:
        token[0].run_sync_soon(over.set)
        thread.join()


def a_pair(base: Path, stack: ExitStack, *, we_are_lower: bool) -> tuple[Device, Device]:
    """Ours and the reference's, which run and have not met."""
    ours, theirs = Device(OURS, base / "o"), Device(REFERENCE, base / "t")
    for device in (ours, theirs):
        stack.callback(device.close)
    theirs.start()
    give_identity(ours, theirs, lower=we_are_lower)
    ours.start()
    return ours, theirs


def meeting_beside(deliveries_s: float, ours: Device, theirs: Device) -> float:
    """Seconds, of a machine that nobody else uses, that these take to meet beside the deliveries themselves."""
    began, contention = time.monotonic(), Contention()
    meet(ours, theirs)
    return (time.monotonic() - began - deliveries_s) / contention.stretched(1.0)


@pytest.mark.parametrize("delays_s", [(2.0,), (5.0,), (3.0, 5.0)], ids=str)
@pytest.mark.parametrize("killed", ["ours", "ours, with a leave", "theirs"])
@pytest.mark.parametrize("we_are_lower", [True, False], ids=["we are lower", "we are higher"])
def test_a_killed_daemon_is_back_after_three_deliveries(
    we_are_lower: bool, killed: str, delays_s: tuple[float, ...]
) -> None:
    with room() as (base, relay), ExitStack() as stack:
        ways = [stack.enter_context(slow(relay)) for _ in delays_s]
        ours, theirs = a_pair(base, stack, we_are_lower=we_are_lower)
        for device in (ours, theirs):
            device.join(*(way.url for way in ways))
        meet(ours, theirs)
        time.sleep(SETTLED_S)
        for way, delay_s in zip(ways, delays_s, strict=True):
            way.delay_s = delay_s
        victim = theirs if killed == "theirs" else ours
        victim.end(signal.SIGTERM if killed == "ours, with a leave" else signal.SIGKILL)
        victim.start()
        beside = meeting_beside(3 * min(delays_s), ours, theirs)
        time.sleep(2 * min(delays_s) + 1.0)
        meet(ours, theirs)
        assert beside < MARGIN_S + START_S


@pytest.mark.parametrize("first", ["ours", "theirs"])
@pytest.mark.parametrize("we_are_lower", [True, False], ids=["we are lower", "we are higher"])
def test_a_first_meeting_takes_three_deliveries(we_are_lower: bool, first: str) -> None:
    delay_s = 5.0
    with room() as (base, relay), ExitStack() as stack:
        way = stack.enter_context(slow(relay))
        way.delay_s = delay_s
        ours, theirs = a_pair(base, stack, we_are_lower=we_are_lower)
        early, late = (ours, theirs) if first == "ours" else (theirs, ours)
        early.join(way.url)
        time.sleep(1.0)
        late.join(way.url)
        assert meeting_beside(3 * delay_s, ours, theirs) < MARGIN_S + START_S
