"""Links of real daemons that are renewed: a hundred times in place, and by another process of the peer beside them."""

from __future__ import annotations

import signal
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trio
from attrs import define, field

from mesh_common.client.errors import ControlError
from mesh_common.client.protocol import parse_object
from support.daemons import daemon, host_relay, network_record, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from support.daemons import Daemon

NETWORKS = [f"net-{number}" for number in range(10)]
ROUNDS = 10
GROWTH_MB = 5.0
"""Ids of events and what went into the engines lately fill up to the bounds of each network; a lost path is told by its
sockets."""
SETTLED_S = 4.0
"""A path that was replaced is kept for three seconds."""


@define(eq=False)
class Trace:
    """What a daemon says of its links in one network (spec 05 §10.6)."""

    records: list[dict[str, Any]] = field(factory=list)

    async def follow(self, device: Daemon, network: str) -> None:
        control = await device.control()
        await control.ask("trace_subscribe", network=network)
        try:
            while True:
                self.records.append(parse_object(await control.receive()))
        except ControlError:
            return

    def renewals(self) -> int:
        """How often a path was checked anew and then worked."""
        states = [record.get("ice_state") for record in self.records if "ice" in record["changed"]]
        return sum(pair == ("Checking", "Connected") for pair in pairwise(states))


@asynccontextmanager
async def two_devices(base: Path) -> AsyncIterator[tuple[str, Daemon, Daemon]]:
    """The address of a relay of neither, and the devices in the order of their ids."""
    async with daemon(base / "relay") as relay, daemon(base / "a") as one, daemon(base / "b") as other:
        low, high = sorted((one, other), key=lambda each: each.device_id)
        yield await host_relay(relay), low, high


def kept(device: Daemon) -> tuple[int, int]:
    """Descriptors and threads of a daemon."""
    assert device.process is not None
    process = Path(f"/proc/{device.process.pid}")
    return len(list((process / "fd").iterdir())), len(list((process / "task").iterdir()))


@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_a_hundred_restarts_leave_no_growth(tmp_path: Path) -> None:
    """Ten links of two daemons, each restarted ten times, by turns from either side. Tasks are counted where they are
    seen, in `tests/integration/transport`."""
    async with two_devices(tmp_path) as (url, low, high), trio.open_nursery() as nursery:
        traces = [(each, network, Trace()) for each in (low, high) for network in NETWORKS]
        for each in (low, high):
            for network in NETWORKS:
                await each.ask("network_add", config=network_record(network, url, auto_approve=True))
        for network in NETWORKS:
            await low.wait_for_peer(network, high.device_id)
            await high.wait_for_peer(network, low.device_id)
        for each, network, trace in traces:
            nursery.start_soon(trace.follow, each, network)
        await until(lambda: all(trace.records for _, _, trace in traces), "the first records")
        before: list[tuple[tuple[int, int], float]] = []
        for number in range(2 + ROUNDS):
            for network in NETWORKS:
                await (low, high)[number % 2].ask("network_reconnect", network=network)
            for _, network, trace in traces:
                await until(lambda: trace.renewals() > number, f"restart {number} of {network}")  # noqa: B023
            if number == 1:  # buffers have their size, and code is loaded
                await trio.sleep(SETTLED_S)
                before = [(kept(each), each.memory_mb()) for each in (low, high)]
        await trio.sleep(SETTLED_S)
        for each, (things, memory_mb) in zip((low, high), before, strict=True):
            assert all(now <= earlier for now, earlier in zip(kept(each), things, strict=True))
            assert each.memory_mb() < memory_mb + GROWTH_MB
        for _, network, trace in traces:
            assert {record["status"] for record in trace.records} == {"active"}, network
            assert len({record["epoch"] for record in trace.records}) == 1, "one link all the while"
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("mortal", ["lower", "higher"])
async def test_another_process_of_a_killed_device_takes_over_beside_its_link(tmp_path: Path, mortal: str) -> None:
    """The former link stays until the new one has proved itself: clients do not see the peer go back to its start."""
    async with two_devices(tmp_path) as (url, low, high), trio.open_nursery() as nursery:
        killed, witness = (low, high) if mortal == "lower" else (high, low)
        for each in (low, high):
            await each.ask("network_add", config=network_record("home", url, auto_approve=True))
        await witness.wait_for_peer("home", killed.device_id)
        await killed.wait_for_peer("home", witness.device_id)
        trace = Trace()
        nursery.start_soon(trace.follow, witness, "home")
        await until(lambda: bool(trace.records), "the first record")
        await killed.stop(signal.SIGKILL)
        await killed.start()
        await until(lambda: len({record["epoch"] for record in trace.records}) > 1, "another link")
        assert {record["status"] for record in trace.records} <= {"active", "pending_approval"}
        assert [record for record in trace.records if "vanished" in record["changed"]] == []
        assert (await killed.wait_for_peer("home", witness.device_id))["why"] is None
        nursery.cancel_scope.cancel()
