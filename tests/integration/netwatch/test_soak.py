"""Ten real daemons on machines of their own, over real WebRTC, under random restarts and address changes.

`MESH_SOAK_SECONDS=600` makes it long, `MESH_SOAK_SEED=7` repeats the faults of one, `MESH_SOAK_DEVICES` says how many.
"""

from __future__ import annotations

import os
import random
import signal
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trio
from attrs import define, field

from mesh_common.client.errors import ControlError
from mesh_common.client.protocol import parse_object
from myownmesh.engine.why import CODES
from support.daemons import PATIENCE_S, Refused, daemon, host_relay, network_record
from support.namespaces import LAN_HOST, lan, lan_address, needs_namespaces

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from support.daemons import Control, Daemon
    from support.namespaces import Machine

NETWORK = "soak"
CHANNEL = "soak"
SECONDS = float(os.environ.get("MESH_SOAK_SECONDS", "15"))
DEVICES = int(os.environ.get("MESH_SOAK_DEVICES", "10"))
FAULT_EVERY_S = 1.0
SEND_EVERY_S = 0.2
LOOK_EVERY_S = 1.0
WELL_S = 75.0
"""An attempt that the last fault met half-way is given up after thirty seconds, and so may be the next one."""
GROWTH_MB = 12.0
"""What a daemon may take more than before: sessions that were closed give their memory back late."""
GROWTH_DESCRIPTORS = 12

pytestmark = [needs_namespaces, pytest.mark.slow, pytest.mark.timeout(SECONDS + 150)]


@define(eq=False)
class Device:
    """A machine with its daemon, and what it has heard."""

    number: int
    machine: Machine
    daemon: Daemon
    turns: int = 0
    """How often its address has changed."""
    starts: int = 0
    is_busy: bool = False
    """A fault is under way."""
    heard: dict[int, int] = field(factory=dict)
    """Messages by the start in which they came."""

    async def listen(self) -> None:
        """Hear what comes until the daemon is gone. A message that comes twice to one process fails."""
        start = self.starts
        control: Control = await self.daemon.control()
        client = (await control.ask("events_subscribe"))["client_id"]
        await self.daemon.ask("channel_subscribe", client_id=client, network=NETWORK, channel=CHANNEL)
        try:
            while True:
                frame = parse_object(await control.receive())
                if frame["kind"] == "channel_inbound":
                    number = frame["payload"]
                    assert self.heard.get(number) != start, f"message {number} came twice"
                    self.heard[number] = start
        except ControlError:
            return  # it was killed

    def descriptors(self) -> int:
        assert self.daemon.process is not None
        return len(list(Path(f"/proc/{self.daemon.process.pid}/fd").iterdir()))


class Soak:
    """The devices, what is sent between them, and what goes wrong."""

    def __init__(self, devices: list[Device], rng: random.Random, nursery: trio.Nursery) -> None:
        self.devices = devices
        self.rng = rng
        self.nursery = nursery
        self.acknowledged = 0
        self.log: list[str] = []
        self._number = 0

    def free(self) -> list[Device]:
        """Those whose daemon can be asked."""
        return [device for device in self.devices if not device.is_busy]

    # ── what is sent ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def send(self) -> None:
        while True:
            await trio.sleep(SEND_EVERY_S)
            free = self.free()
            if len(free) > 1:
                one, other = self.rng.sample(free, 2)
                self._number += 1
                self.nursery.start_soon(self._send, one, other, self._number)

    async def _send(self, one: Device, other: Device, number: int) -> None:
        target = {"network": NETWORK, "channel": CHANNEL, "peer": other.daemon.device_id}
        start = other.starts
        try:
            await one.daemon.ask("channel_send_reliable", payload=number, ttl_ms=8_000, **target)
        except (Refused, ControlError, OSError):
            return  # it was not acknowledged, so it may be lost
        await trio.sleep(0.5)  # the test hears of it over another connection than the daemon
        if not other.is_busy and other.starts == start:
            assert number in other.heard, f"message {number} was acknowledged and never arrived"
        self.acknowledged += 1

    # ── what is said ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def look(self) -> None:
        """Whoever is asked says why a peer is not active."""
        while True:
            await trio.sleep(LOOK_EVERY_S)
            free = self.free()
            if not free:
                continue
            device = self.rng.choice(free)
            try:
                peers = (await device.daemon.ask("peers_list", network=NETWORK))["peers"]
            except (ControlError, OSError):
                continue  # it was killed just then
            for peer in peers:
                why = peer["why"]
                assert peer["status"] == "active" or why is not None, f"{peer} says nothing"
                assert why is None or why["code"] in CODES, peer

    # ── what goes wrong ───────────────────────────────────────────────────────────────────────────────────────────────

    async def disturb(self) -> None:
        while True:
            await trio.sleep(self.rng.expovariate(1 / FAULT_EVERY_S))
            free = self.free()
            if len(free) > 2:
                device = self.rng.choice(free)
                kinds = (self.move, self.move, self.reconnect, self.reconnect, self.kill, self.stand_still, self.unplug)
                kind = self.rng.choice(kinds)
                self.log.append(f"{trio.current_time():.1f} {kind.__name__} {device.number}")
                self.nursery.start_soon(self._fault, device, kind)

    async def _fault(self, device: Device, kind: Callable[[Device], Awaitable[None]]) -> None:
        device.is_busy = True
        await kind(device)
        device.is_busy = False

    async def move(self, device: Device) -> None:
        device.turns = (device.turns + 1) % 200
        device.machine.ip("addr", "flush", "dev", "lan0")
        device.machine.add_address("lan0", f"{lan_address(device.number, device.turns)}/16")

    async def reconnect(self, device: Device) -> None:
        await device.daemon.ask("network_reconnect", network=NETWORK)

    async def kill(self, device: Device) -> None:
        await device.daemon.stop(signal.SIGKILL)
        await trio.sleep(self.rng.uniform(0.0, 3.0))
        device.starts += 1
        await self._start(device)
        self.nursery.start_soon(device.listen)
        await trio.sleep(0.3)

    async def _start(self, device: Device) -> None:
        """Start its daemon. Entering the machine may hang when its interfaces change just then, and is tried again; the
        daemon itself may not."""
        for _ in range(3):
            try:
                return await device.daemon.start()
            except trio.TooSlowError:
                process = device.daemon.process
                assert process is not None
                command = Path(f"/proc/{process.pid}/cmdline").read_bytes().split(b"\0")  # noqa: ASYNC240 - it does not wait
                assert command[0].endswith(b"ip"), f"{command} does not get ready; log:\n{device.daemon.log}"
                print(f"device {device.number} could not be entered")
                await device.daemon.stop(signal.SIGKILL)
        raise AssertionError(f"device {device.number} cannot be entered")

    async def stand_still(self, device: Device) -> None:
        assert device.daemon.process is not None
        device.daemon.process.send_signal(signal.SIGSTOP)
        await trio.sleep(self.rng.uniform(0.5, 6.0))
        device.daemon.process.send_signal(signal.SIGCONT)

    async def unplug(self, device: Device) -> None:
        device.machine.ip("link", "set", "lan0", "down")
        await trio.sleep(self.rng.uniform(0.5, 4.0))
        device.machine.ip("link", "set", "lan0", "up")


async def all_well(devices: list[Device]) -> None:
    """Everybody is linked with everybody, and nobody has anything to explain."""
    views: list[Any] = []
    with trio.move_on_after(WELL_S) as scope:
        while True:
            views = []
            for device in devices:
                peers = (await device.daemon.ask("peers_list", network=NETWORK))["peers"]
                for peer in peers:
                    if peer["status"] != "active" or peer["why"] is not None:
                        views.append((device.number, peer["device_id"], peer["status"], peer["why"]))
                known = {device.daemon.device_id, *(peer["device_id"] for peer in peers)}
                missing = {each.daemon.device_id for each in devices} - known
                views += [(device.number, each, "unknown", None) for each in missing]
            if not views:
                return
            await trio.sleep(0.1)
    assert not scope.cancelled_caught, "\n".join(map(str, views))


async def test_ten_devices_hold_together(tmp_path: Path) -> None:
    seed = int(os.environ.get("MESH_SOAK_SEED") or random.SystemRandom().randrange(10**6))
    print(f"MESH_SOAK_SEED={seed}")
    async with AsyncExitStack() as stack:
        host, machines = stack.enter_context(lan(DEVICES))
        relay = await stack.enter_async_context(daemon(tmp_path / "relay", run_in=host.enter))
        url = await host_relay(relay, bind=LAN_HOST)
        devices = [
            Device(
                number,
                machine,
                await stack.enter_async_context(
                    daemon(
                        tmp_path / f"d{number}",
                        run_in=("env", *machine.enter),  # started, not forked: `_start` tells one that does not get in
                        environ={"MYOWNMESH_LOG_EXTRA": "info"},
                    )
                ),
            )
            for number, machine in enumerate(machines)
        ]
        for device in devices:
            await device.daemon.ask("network_add", config=network_record(NETWORK, url, auto_approve=True))
        await all_well(devices)
        async with trio.open_nursery() as nursery:
            for device in devices:
                nursery.start_soon(device.listen)
            await trio.sleep(1.0)
            before = [(device.daemon.memory_mb(), device.descriptors()) for device in devices]
            soak = Soak(devices, random.Random(seed), nursery)
            async with trio.open_nursery() as troubles:
                troubles.start_soon(soak.send)
                troubles.start_soon(soak.look)
                troubles.start_soon(soak.disturb)
                await trio.sleep(SECONDS)
                troubles.cancel_scope.cancel()
            with trio.fail_after(PATIENCE_S):
                while any(device.is_busy for device in devices):
                    await trio.sleep(0.05)
            mended = trio.current_time()
            try:
                await all_well(devices)
            except AssertionError as error:
                raise AssertionError("\n".join([str(error), *soak.log[-30:]])) from error
            print(f"well again after {trio.current_time() - mended:.1f} s; {len(soak.log)} faults,"
                  f" {soak.acknowledged} messages acknowledged")  # fmt: skip
            assert soak.acknowledged > SECONDS
            await trio.sleep(2.0)
            for device, (memory_mb, descriptors) in zip(devices, before, strict=True):
                now_mb, now_open = device.daemon.memory_mb(), device.descriptors()
                print(f"device {device.number}: {device.starts} starts, {memory_mb:.1f} -> {now_mb:.1f} MB,"
                      f" {descriptors} -> {now_open} descriptors")  # fmt: skip
                assert now_mb < memory_mb + GROWTH_MB
                assert now_open <= descriptors + GROWTH_DESCRIPTORS
            nursery.cancel_scope.cancel()
