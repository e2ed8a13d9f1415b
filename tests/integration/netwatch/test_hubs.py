"""Real daemons on machines of their own under star and hubs: a hub is killed, the others go on or say why not, and it
comes back."""

from __future__ import annotations

import signal
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import trio

from support.contention import Contention
from support.daemons import PATIENCE_S, Refused, daemon, host_relay, network_record
from support.namespaces import LAN_HOST, lan, needs_namespaces

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from support.daemons import Control, Daemon

pytestmark = [needs_namespaces, pytest.mark.slow]

NETWORK = "hubs"
BACK_S = 3.0
NOTICED_S = 6.0


@asynccontextmanager
async def devices(base: Path, count: int) -> AsyncIterator[tuple[str, list[Daemon]]]:
    """The relay's address, and daemons in the order of their ids."""
    async with AsyncExitStack() as stack:
        host, machines = stack.enter_context(lan(count))
        relay = await stack.enter_async_context(daemon(base / "relay", run_in=host.enter))
        url = await host_relay(relay, bind=LAN_HOST)
        made = [
            await stack.enter_async_context(daemon(base / f"d{number}", run_in=machine.enter))
            for number, machine in enumerate(machines)
        ]
        yield url, sorted(made, key=lambda each: each.device_id)


async def join(url: str, members: Sequence[Daemon], topology: dict[str, Any]) -> None:
    record = network_record(NETWORK, url, auto_approve=True, topology=topology)
    for each in members:
        await each.ask("network_add", config=record)


async def linked(one: Daemon, other: Daemon) -> None:
    """Both ends hold the link, shelved or not."""
    for mine, theirs in ((one, other), (other, one)):
        await mine.wait_for_peer(NETWORK, theirs.device_id, "active", "shelved")


async def listener(device: Daemon) -> Control:
    control = await device.control()
    client = (await control.ask("events_subscribe"))["client_id"]
    await device.ask("channel_subscribe", client_id=client, network=NETWORK, channel="c")
    return control


async def carried(source: Daemon, to: Daemon, heard: Control, number: int) -> float:
    """Seconds until a message gets from one spoke to another; it is sent until one does."""
    began = trio.current_time()
    while True:
        assert trio.current_time() - began < PATIENCE_S, "nothing is carried"
        try:
            await source.ask("channel_send_to", network=NETWORK, channel="c", peer=to.device_id, payload=number)
        except Refused:
            await trio.sleep(0.05)
            continue
        with trio.move_on_after(0.2):
            while (frame := await heard.frame())["kind"] != "channel_inbound" or frame["payload"] != number:
                pass
            return trio.current_time() - began


async def reasons(device: Daemon, gone: Daemon) -> str | None:
    info = await device.peer(NETWORK, gone.device_id)
    return None if info is None or info["why"] is None else info["why"]["code"]


async def test_the_hub_of_a_star_is_killed_and_comes_back(tmp_path: Path) -> None:
    async with devices(tmp_path, 4) as (url, (first, hub, second, third)):
        spokes = [first, second, third]
        await join(url, [hub, *spokes], {"kind": "star", "hub": hub.device_id})
        for spoke in spokes:
            await linked(spoke, hub)
        heard = await listener(third)
        await carried(first, third, heard, 1)
        await hub.stop(signal.SIGKILL)
        killed, contention = trio.current_time(), Contention()
        for spoke in spokes:
            with trio.fail_after(PATIENCE_S):
                while await reasons(spoke, hub) is None:
                    await trio.sleep(0.05)
        print(f"said why: {trio.current_time() - killed:.2f} s")
        assert trio.current_time() - killed < contention.stretched(NOTICED_S)
        await hub.start()
        back, contention = trio.current_time(), Contention()
        for spoke in spokes:
            await linked(spoke, hub)
        print(f"the hub is back: {trio.current_time() - back:.2f} s")
        assert trio.current_time() - back < contention.stretched(BACK_S)
        assert await carried(first, third, heard, 2) < contention.stretched(BACK_S)


async def test_one_of_two_hubs_is_killed_and_frames_go_over_the_other(tmp_path: Path) -> None:
    async with devices(tmp_path, 5) as (url, (first, one, second, other, third)):
        hubs, spokes = [one, other], [first, second, third]
        topology = {"kind": "hubs", "hubs": [hub.device_id for hub in hubs], "spoke_redundancy": 2}
        await join(url, [*hubs, *spokes], topology)
        for hub in hubs:
            for spoke in spokes:
                await linked(spoke, hub)
        await linked(one, other)
        heard = await listener(third)
        await carried(first, third, heard, 1)
        await one.stop(signal.SIGKILL)
        contention = Contention()
        took = await carried(first, third, heard, 2)
        print(f"over the other hub: {took:.2f} s")
        assert took < contention.stretched(NOTICED_S), "frames go to the first hub until its silence is noticed"
        await one.start()
        back, contention = trio.current_time(), Contention()
        for each in (other, *spokes):
            await linked(one, each)
        print(f"the hub is back: {trio.current_time() - back:.2f} s")
        assert trio.current_time() - back < contention.stretched(BACK_S)
