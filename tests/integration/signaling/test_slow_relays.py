"""Two daemons over relays that are late: a restarted one is back after announce, offer and answer (spec 04 §5.5)."""

from __future__ import annotations

import signal
import time
from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio

from support.contention import Contention
from support.daemons import daemon, host_relay, network_record
from support.slow_relay import slow_relay

if TYPE_CHECKING:
    from pathlib import Path

    from support.daemons import Daemon

NETWORK = "slow"
MARGIN_S = 1.5
"""What a return may take beside three deliveries; less than a fourth one would."""
SETTLED_S = 3.0
"""So that the announces of the meeting are out before the relays become slow."""


async def returns(
    home: Path, who: str, end: int, delays_s: tuple[float, ...], *, first_ran_s: float | None = None
) -> float:
    """Seconds, of a machine that nobody else uses, that the restarted daemon takes beside three deliveries: from its
    ready line until both have the link.

    `first_ran_s`: it is started twice, and its first start is killed after so long.
    """
    async with AsyncExitStack() as stack:
        host = await stack.enter_async_context(daemon(home / "relay"))
        relay = await host_relay(host)
        slow = [await stack.enter_async_context(slow_relay(relay, 0.0)) for _ in delays_s]
        pair = [await stack.enter_async_context(daemon(home / name)) for name in ("one", "other")]
        record = network_record(NETWORK, slow[0].url, auto_approve=True)
        record["signaling"]["servers"] = [each.url for each in slow]
        for device in pair:
            await device.ask("network_add", config=record)
        await linked(*pair)
        await trio.sleep(SETTLED_S)
        for each, delay_s in zip(slow, delays_s, strict=True):
            each.delay_s = delay_s
        low, high = sorted(pair, key=lambda device: device.device_id)
        victim, survivor = (low, high) if who == "low" else (high, low)
        await victim.stop(end)
        again = await stack.enter_async_context(daemon(victim.home))
        if first_ran_s is not None:
            await trio.sleep(first_ran_s)
            await again.stop(signal.SIGKILL)
            again = await stack.enter_async_context(daemon(victim.home))
        began, contention = time.monotonic(), Contention()
        await linked(again, survivor)
        beside = (time.monotonic() - began - 3 * min(delays_s)) / contention.stretched(1.0)
        await trio.sleep(2 * min(delays_s) + 1.0)
        for device, other in ((again, survivor), (survivor, again)):
            peer = await device.peer(NETWORK, other.device_id)
            assert peer is not None
            assert peer["status"] == "active", "the link came up and was lost again"
        return beside


async def linked(one: Daemon, other: Daemon) -> None:
    await one.wait_for_peer(NETWORK, other.device_id, patience=90.0)
    await other.wait_for_peer(NETWORK, one.device_id, patience=90.0)


@pytest.mark.parametrize(("who", "end"), [("low", signal.SIGKILL), ("high", signal.SIGTERM)])
def test_a_restarted_device_is_back_over_a_slow_relay(tmp_path: Path, who: str, end: int) -> None:
    assert trio.run(returns, tmp_path, who, end, (1.8,)) < MARGIN_S


@pytest.mark.slow
def test_who_is_started_twice_is_back_too(tmp_path: Path) -> None:
    """Killed with the link just made; killed on the way to it is the simulator's."""
    beside = trio.run(partial(returns, tmp_path, "high", signal.SIGKILL, (1.8,), first_ran_s=5.5))
    assert beside < MARGIN_S


@pytest.mark.slow
@pytest.mark.parametrize(("who", "delays_s"), [("low", (5.0,)), ("high", (2.0, 1.8, 4.0))], ids=str)
def test_up_to_five_seconds_and_on_several_relays(tmp_path: Path, who: str, delays_s: tuple[float, ...]) -> None:
    """The other delays, ends and sides are the simulator's: these cost real seconds."""
    assert trio.run(returns, tmp_path, who, signal.SIGKILL, delays_s) < MARGIN_S
