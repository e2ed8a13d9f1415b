"""A home that was copied to a second machine: two daemons with one identity, and a third device that knows it."""

from __future__ import annotations

import shutil
import signal
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest
import trio

from support.daemons import daemon, host_relay, network_record
from support.slow_relay import slow_relay

if TYPE_CHECKING:
    from pathlib import Path

    from support.daemons import Daemon

NETWORK = "twins"
SETTLED_S = 3.0
"""After so much time the two have spoken, and who was here first has its link again."""
WATCHED_S = 12.0


async def row(device: Daemon) -> dict[str, Any]:
    [network] = (await device.ask("networks_list"))["networks"]
    found: dict[str, Any] = network
    return found


async def becomes(device: Daemon, wanted: dict[str, bool] | None) -> None:
    with trio.move_on_after(20.0):
        while (await row(device)).get("twin") != wanted:
            await trio.sleep(0.05)  # the socket tells it only when asked
    assert (await row(device)).get("twin") == wanted, device.log


async def drops_of(third: Daemon, seconds: float) -> int:
    """How often it loses a peer in that time."""
    events = await third.control()
    await events.ask("events_subscribe")
    lost = 0
    with trio.move_on_after(seconds):
        while True:
            event = (await events.frame()).get("event", {})
            lost += event.get("kind") == "dropped"
    return lost


async def two_of_one(home: Path, third_is: str) -> None:
    async with AsyncExitStack() as stack:
        host = await stack.enter_async_context(daemon(home / "relay"))
        relay = await host_relay(host)
        pair = [await stack.enter_async_context(daemon(home / name)) for name in ("a", "b")]
        third, one = sorted(pair, key=lambda device: device.device_id, reverse=third_is == "higher")
        for device in (one, third):
            await device.ask("network_add", config=network_record(NETWORK, relay, auto_approve=True))
        await one.wait_for_peer(NETWORK, third.device_id)
        await third.wait_for_peer(NETWORK, one.device_id)
        assert "twin" not in await row(one)

        ignore = shutil.ignore_patterns("*.sock", "*.lock", "log.txt")
        shutil.copytree(one.home, home / "copy", ignore=ignore)
        copy = await stack.enter_async_context(daemon(home / "copy"))
        assert copy.device_id == one.device_id
        await becomes(one, {"proved": True, "stands_aside": False})
        await becomes(copy, {"proved": True, "stands_aside": True})
        await trio.sleep(SETTLED_S)
        await one.wait_for_peer(NETWORK, third.device_id)
        assert await drops_of(third, WATCHED_S) == 0, "the link is not taken to and fro"
        await one.wait_for_peer(NETWORK, third.device_id, patience=0.1)
        assert await copy.peer(NETWORK, third.device_id) is None
        for device in (one, copy):
            assert 1 <= device.log.count("another device uses the identity of this one: ") <= 2, "not at every word"

        await one.stop()
        await becomes(copy, None)
        await copy.wait_for_peer(NETWORK, third.device_id)


@pytest.mark.slow
@pytest.mark.parametrize("third_is", ["lower", "higher"])
def test_the_later_of_two_copies_stands_aside_and_both_say_so(tmp_path: Path, third_is: str) -> None:
    trio.run(two_of_one, tmp_path, third_is)


async def restarts(home: Path, delay_s: float) -> None:
    async with AsyncExitStack() as stack:
        host = await stack.enter_async_context(daemon(home / "relay"))
        slow = await stack.enter_async_context(slow_relay(await host_relay(host), delay_s))
        one = await stack.enter_async_context(daemon(home / "one"))
        await one.ask("network_add", config=network_record(NETWORK, slow.url))
        for how in (signal.SIGKILL, signal.SIGTERM, signal.SIGKILL):
            await trio.sleep(0.2)
            await one.stop(how)
            await one.start()
            with trio.move_on_after(2 * delay_s + 1.5):
                while "twin" not in await row(one):
                    await trio.sleep(0.1)
            assert "twin" not in await row(one), "that was an earlier run of its own"


@pytest.mark.slow
@pytest.mark.parametrize("delay_s", [0.0, 1.0])
def test_a_device_that_restarts_is_no_copy_of_itself(tmp_path: Path, delay_s: float) -> None:
    trio.run(restarts, tmp_path, delay_s)
