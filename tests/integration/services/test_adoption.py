"""What one member hosts is used by the others without anybody writing an address anywhere (spec 06 K, L, M)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import trio

from support.daemons import PATIENCE_S, daemon, host_relay, network_record
from support.namespaces import machines_apart, needs_namespaces

if TYPE_CHECKING:
    from pathlib import Path

    from support.daemons import Daemon

PUBLIC = "203.0.113.1"
NAME = "club"


async def approve(one: Daemon, other: Daemon) -> None:
    await one.ask("roster_approve", network=NAME, device_id=other.device_id, label="")


async def offers(device: Daemon) -> dict[str, dict[str, Any]]:
    return {each["kind"]: each for each in (await device.ask("services_offers"))["offers"]}


async def uses(device: Daemon, *kinds: str) -> None:
    """Until it uses these, with whatever they need."""
    found: dict[str, Any] = {}
    with trio.move_on_after(2 * PATIENCE_S):
        while not all(found.get(kind, {}).get("adopted") and found[kind]["why"] is None for kind in kinds):
            await trio.sleep(0.1)
            found = await offers(device)
        return
    raise AssertionError(f"{found}; log:\n{device.log}")


async def lends(device: Daemon) -> bool:
    """Whether the TURN server of a member lends this device an address."""
    rows = (await device.ask("netcheck"))["servers"]
    return any(row["ok"] for row in rows if row["kind"] == "turn" and row["from_member"])


@pytest.mark.slow
@needs_namespaces
async def test_devices_that_reach_only_the_host_meet_by_what_it_hosts_with_every_configured_relay_dead(
    tmp_path: Path,
) -> None:
    """Three machines, no route between the outer two, and no STUN, TURN or second relay in anybody's configuration."""
    with machines_apart(3) as (host, *outer):
        host.ip("addr", "add", f"{PUBLIC}/32", "dev", "lo")
        for number, machine in enumerate(outer):
            inner = f"to{number}"
            machine.ip("link", "add", "up0", "type", "veth", "peer", "name", inner, "netns", host.name)
            host.add_address(inner, f"198.51.{number}.1/24")
            machine.add_address("up0", f"198.51.{number}.2/24")
            machine.ip("route", "add", "default", "via", f"198.51.{number}.1")
        async with (
            daemon(tmp_path / "first", run_in=host.enter) as first,
            daemon(tmp_path / "host", run_in=host.enter) as middle,
            daemon(tmp_path / "a", run_in=outer[0].enter) as a,
            daemon(tmp_path / "b", run_in=outer[1].enter) as b,
        ):
            configured = await host_relay(first, bind=PUBLIC)
            services = (await middle.ask("services_status"))["config"]
            services["signaling"] |= {"enabled": True, "port": 4848}
            services["stun"] |= {"enabled": True}
            services["turn"] |= {"enabled": True, "tcp_enabled": True, "public_ip": PUBLIC}
            made = (await middle.ask("services_set", services=services))["status"]
            assert made["turn"]["running"], made
            assert made["signaling"]["running"], made
            for device in (middle, a, b):
                await device.ask("network_add", config=network_record(NAME, configured))
            for device in (a, b):
                await approve(middle, device)
            # A trusts the host without a person: what it hosts is shown, and waits.
            for one, other in ((a, b), (b, a)):
                await approve(one, other)
                await approve(one, middle)
            for device in (a, b):
                await device.wait_for_peer(NAME, middle.device_id)
                await uses(device, "relay", "stun", "turn")
            found = await offers(a)
            assert found["relay"]["urls"] == [f"ws://{PUBLIC}:4848"]
            assert found["turn"]["urls"] == [f"turn:{PUBLIC}:3478", f"turn:{PUBLIC}:3478?transport=tcp"]
            for one, other in ((a, b), (b, a)):
                pair = (await one.wait_for_peer(NAME, other.device_id, patience=3 * PATIENCE_S))["selected_pair"]
                assert pair != {"local": "host", "remote": "host"}

            await first.stop()
            for device in (a, b):
                await device.stop()
            for device in (a, b):
                await device.start()
            for one, other in ((a, b), (b, a)):
                await one.wait_for_peer(NAME, other.device_id, patience=3 * PATIENCE_S)
            (network,) = (await a.ask("networks_list"))["networks"]
            assert {relay["url"]: relay["state"] == "up" for relay in network["relays"]} == {
                configured: False,
                f"ws://{PUBLIC}:4848": True,
            }

            # Who was removed and let in again has lost its password, and gets another one behind the new link.
            assert await lends(a)
            await middle.ask("roster_remove", network=NAME, device_id=a.device_id)
            with trio.fail_after(PATIENCE_S):
                while await lends(a):
                    await trio.sleep(0.1)
            await approve(middle, a)
            await a.ask("network_reconnect", network=NAME)
            with trio.fail_after(3 * PATIENCE_S):
                while not await lends(a):
                    await trio.sleep(0.1)

            # What a device hosts goes with it.
            await a.ask("roster_remove", network=NAME, device_id=middle.device_id)
            with trio.fail_after(PATIENCE_S):
                while any(each["adopted"] for each in (await offers(a)).values()):
                    await trio.sleep(0.1)
            with trio.fail_after(PATIENCE_S):
                while len((await a.ask("networks_list"))["networks"][0]["relays"]) > 1:
                    await trio.sleep(0.1)
