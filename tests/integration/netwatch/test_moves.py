"""Real daemons in network namespaces whose network changes under them (spec 04 §7.7, §7.12).

The relay is hosted by one of the two devices, so it is as far away as the device itself. Every bound is one for the
product and none for this machine: three workers may share it.
"""

from __future__ import annotations

import signal
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import TYPE_CHECKING

import trio

from support.contention import Contention
from support.daemons import PATIENCE_S, daemon, host_relay, network_record
from support.namespaces import needs_namespaces, plug_in, two_machines

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from support.daemons import Daemon

pytestmark = needs_namespaces

NETWORK = "moving"
BACK_S = 3.0
"""From the change until a call works again."""
MOVED_S = 2.0
"""The same for another address of the same cable."""
OUTAGE_S = 5.0
"""Long enough for the path to be down and for the next dial of a relay to be far away."""
TICK_S = 0.02


class Ticks:
    """A streamed call from one device to another that never ends, and when its pieces came."""

    def __init__(self) -> None:
        self.numbers: list[int] = []
        self.came: list[float] = []
        self.error: str | None = None

    def longest_gap(self, since: float) -> float:
        times = [since, *(at for at in self.came if at >= since)]
        return max(after - before for before, after in pairwise(times))


@asynccontextmanager
async def ticking(server: Daemon, client: Daemon) -> AsyncIterator[Ticks]:
    """`server` streams a number every 20 ms to `client` for the length of the block."""
    events, requests = await server.control(), await server.control()
    server_id = (await events.ask("events_subscribe"))["client_id"]
    await requests.ask("rpc_register", client_id=server_id, network=NETWORK, method="tick", streaming=True)
    heard = await client.control()
    client_id = (await heard.ask("events_subscribe"))["client_id"]
    ticks = Ticks()

    async def serve() -> None:
        frame = await events.frame()
        while frame["kind"] != "rpc_inbound":
            frame = await events.frame()
        number = 0
        while True:
            await requests.ask("rpc_stream_chunk", request_id=frame["request_id"], payload=number)
            number += 1
            await trio.sleep(TICK_S)

    async def hear() -> None:
        while True:
            frame = await heard.frame()
            if frame["kind"] == "rpc_call_stream_chunk":
                ticks.numbers.append(frame["payload"])
                ticks.came.append(trio.current_time())
            elif frame["kind"] == "rpc_call_stream_end":
                ticks.error = frame["error"]

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        nursery.start_soon(hear)
        await client.ask(
            "rpc_call_stream",
            client_id=client_id,
            network=NETWORK,
            peer=server.device_id,
            method="tick",
            payload=None,
        )
        await more(ticks, 5)
        yield ticks
        nursery.cancel_scope.cancel()


async def more(ticks: Ticks, count: int) -> None:
    wanted = len(ticks.numbers) + count
    with trio.fail_after(PATIENCE_S):
        while len(ticks.numbers) < wanted:
            await trio.sleep(0.01)


async def goes_on(ticks: Ticks, since: float, what: str, within: float = BACK_S) -> None:
    """Wait for more pieces: none was lost, and none was later than `within` seconds of an idle machine."""
    contention = Contention()
    await more(ticks, 25)
    assert ticks.numbers == list(range(len(ticks.numbers))), f"{what}: pieces were lost or came twice"
    assert ticks.error is None, what
    gap = ticks.longest_gap(since)
    within = contention.stretched(within)
    print(f"{what}: {gap:.2f} of {within:.2f} s")
    assert gap <= within, f"{what}: nothing came for {gap:.2f} s, and {within:.2f} were allowed"


async def meet(relay: str, *daemons: Daemon) -> None:
    for each in daemons:
        await each.ask("network_add", config=network_record(NETWORK, relay, auto_approve=True))
    for one in daemons:
        for other in daemons:
            if one is not other:
                await one.wait_for_peer(NETWORK, other.device_id)


async def relay_states(device: Daemon) -> list[str]:
    [network] = (await device.ask("networks_list"))["networks"]
    return [relay["state"] for relay in network["relays"]]


async def test_an_open_stream_survives_new_addresses_and_a_pulled_cable(tmp_path: Path) -> None:
    with two_machines() as machines:
        plug_in(*machines)
        for number, machine in enumerate(machines, 1):
            machine.add_address("lan0", f"192.168.7.{number}/24")
        async with (
            daemon(tmp_path / "host", run_in=machines[0].enter) as host,
            daemon(tmp_path / "guest", run_in=machines[1].enter) as guest,
        ):
            await meet(await host_relay(host, bind="192.168.7.1"), host, guest)
            async with ticking(host, guest) as ticks:
                for number in (3, 4):
                    since = trio.current_time()
                    machines[1].ip("addr", "flush", "dev", "lan0")
                    machines[1].add_address("lan0", f"192.168.7.{number}/24")
                    await goes_on(ticks, since, "another address", MOVED_S)
                machines[1].ip("link", "set", "lan0", "down")
                await trio.sleep(OUTAGE_S)
                since = trio.current_time()
                machines[1].ip("link", "set", "lan0", "up")
                await goes_on(ticks, since, "the cable is back")


async def test_wifi_takes_over_and_a_relay_comes_back(tmp_path: Path) -> None:
    """The host is the router of both networks; the relay stands behind it, in a process of its own."""
    with two_machines() as machines:
        router, laptop = machines
        for name, network, metric in (("lan0", "192.168.7", "100"), ("wlan0", "192.168.8", "600")):
            plug_in(router, laptop, name=name)
            router.add_address(name, f"{network}.1/24")
            laptop.add_address(name, f"{network}.2/24")
            laptop.ip("route", "add", "default", "via", f"{network}.1", "dev", name, "metric", metric)
        router.ip("addr", "add", "10.99.0.1/32", "dev", "lo")
        async with (
            daemon(tmp_path / "relay", run_in=router.enter) as relay,
            daemon(tmp_path / "host", run_in=router.enter) as host,
            daemon(tmp_path / "guest", run_in=laptop.enter) as guest,
        ):
            url = await host_relay(relay, bind="10.99.0.1")
            await meet(url, host, guest)
            async with ticking(host, guest) as ticks:
                since = trio.current_time()
                router.ip("link", "set", "lan0", "down")
                laptop.ip("addr", "flush", "dev", "lan0")
                await goes_on(ticks, since, "the cable is pulled, and Wi-Fi takes over")

                since = trio.current_time()
                await guest.ask("network_reconnect", network=NETWORK)
                await goes_on(ticks, since, "a person asks")

                since = trio.current_time()
                await relay.stop(signal.SIGKILL)
                with trio.fail_after(PATIENCE_S):
                    while await relay_states(guest) == ["up"]:
                        await trio.sleep(0.02)
                await trio.sleep(OUTAGE_S)
                await relay.start()
                port = int(url.rsplit(":", 1)[1])
                services = {"signaling": {"enabled": True, "bind": "10.99.0.1", "port": port}}
                status = (await relay.ask("services_set", services=services))["status"]["signaling"]
                assert status["running"], status
                back, contention = trio.current_time(), Contention()
                with trio.fail_after(PATIENCE_S):
                    while await relay_states(guest) != ["up"] or await relay_states(host) != ["up"]:
                        await trio.sleep(0.02)
                print(f"the relay is back: {trio.current_time() - back:.2f} s")
                assert trio.current_time() - back <= contention.stretched(BACK_S)
                await goes_on(ticks, since, "the relay was away")


async def test_a_device_that_boots_before_its_network(tmp_path: Path) -> None:
    with two_machines() as machines:
        plug_in(*machines)
        machines[0].add_address("lan0", "192.168.7.1/24")
        async with (
            daemon(tmp_path / "host", run_in=machines[0].enter) as host,
            daemon(tmp_path / "guest", run_in=machines[1].enter) as guest,
        ):
            relay = await host_relay(host, bind="192.168.7.1")
            for each in (guest, host):
                await each.ask("network_add", config=network_record(NETWORK, relay, auto_approve=True))
            await trio.sleep(OUTAGE_S)
            assert await relay_states(guest) == ["down"]
            since, contention = trio.current_time(), Contention()
            machines[1].add_address("lan0", "192.168.7.2/24")
            await guest.wait_for_peer(NETWORK, host.device_id)
            print(f"boot: {trio.current_time() - since:.2f} s")
            assert trio.current_time() - since <= contention.stretched(BACK_S)
