"""A closed network's life, step by step: roles, eviction, shape; everybody restarts behind each step (spec 02)."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

import pytest
import trio

from integration.governance.test_closed_network import (
    NET,
    active,
    closed,
    consents,
    grant,
    has_role,
    is_evicted,
    not_linked,
    state,
    until,
    waits_here,
)
from support.daemons import Refused, daemon, network_record
from support.signaling import relay_server, url_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from support.daemons import Daemon


pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
LIMIT_S = 280.0
"""Ten steps with a restart of three daemons behind each."""


async def restart(devices: Sequence[Daemon], how: signal.Signals) -> None:
    """All of them, at the same time."""

    async def again(device: Daemon) -> None:
        await device.stop(how)
        await device.start()

    async with trio.open_nursery() as nursery:
        for device in devices:
            nursery.start_soon(again, device)


async def evict(device: Daemon, whom: Daemon) -> None:
    assert (await device.ask("governance_propose_evict", network=NET, target=whom.device_id))["effective"]


async def has_joined(device: Daemon, peer: Daemon) -> None:
    await active(device, peer)
    await active(peer, device)


async def test_each_step_of_a_networks_life_outlasts_a_restart_of_everybody(tmp_path: Path) -> None:
    """The owner's id is between those of the two that come and go, so either order of ids is tried with each."""
    with trio.fail_after(LIMIT_S):
        async with (
            relay_server() as server,
            daemon(tmp_path / "a") as one,
            daemon(tmp_path / "b") as two,
            daemon(tmp_path / "c") as three,
        ):
            low, owner, high = devices = sorted((one, two, three), key=lambda device: device.device_id)
            record = network_record(NET, url_of(server))
            for device in (low, owner):
                await device.ask("network_add", config=record)
            for device, other in ((low, owner), (owner, low)):
                await device.ask("roster_approve", network=NET, device_id=other.device_id)
            await has_joined(low, owner)
            assert (await owner.ask("governance_propose_kind_change", network=NET, to="closed"))["effective"]
            await consents(low)
            await restart((low, owner), signal.SIGKILL)

            for device in (low, owner):
                await has_role(device, owner, "owner")
            assert (await grant(owner, low, "controller"))["effective"]
            await has_role(low, low, "controller")
            await restart((low, owner), signal.SIGTERM)

            # A controller lets somebody in; the network's record there names its founder.
            await has_role(low, low, "controller")
            await high.ask("network_add", config=record | {"kind": "closed", "founder": owner.device_id})
            await high.ask("roster_approve", network=NET, device_id=low.device_id)
            assert (await low.ask("roster_approve", network=NET, device_id=high.device_id))["effective"]
            for device in devices:
                await has_role(device, high, "member")
            await restart(devices, signal.SIGKILL)

            # Demoted, it decides nothing more, and whom it let in stays in.
            for device in devices:
                await has_role(device, high, "member")
            assert (await owner.ask("governance_propose_role_revoke", network=NET, target=low.device_id))["effective"]
            await has_role(low, low, None)
            await restart(devices, signal.SIGTERM)
            for device in devices:
                await has_role(device, high, "member")
                await has_role(device, low, None)
            assert (await grant(owner, low, "member"))["effective"]
            await has_role(low, low, "member")
            waits = await low.ask("governance_propose_evict", network=NET, target=high.device_id)
            assert (waits["effective"], waits["waits_for"]) == (False, [owner.device_id])
            await low.ask("governance_withdraw", network=NET, proposal_id=waits["proposal_id"])

            # Put out while linked, and while away: it hears it, stays out over restarts, and is back when signed in.
            for gone, other in ((high, low), (low, high)):
                await has_joined(owner, gone)
                await evict(owner, gone)
                await is_evicted(gone, gone)
                await not_linked(owner, gone)
                await restart(devices, signal.SIGKILL)
                for device in (owner, other, gone):
                    await is_evicted(device, gone)
                assert await put_out(gone) is True
                assert (await grant(owner, gone, "member"))["effective"]
                await has_joined(owner, gone)
                await has_role(gone, gone, "member")

                await gone.stop()
                await evict(owner, gone)
                await restart((owner, other), signal.SIGTERM)
                await gone.start()
                await is_evicted(gone, gone)
                await not_linked(owner, gone)
                assert (await grant(owner, gone, "member"))["effective"]
                await has_joined(owner, gone)
                await has_role(gone, gone, "member")
                assert await put_out(gone) is None


async def test_a_shape_that_an_owner_signs_is_everybodys_over_restarts(tmp_path: Path) -> None:
    with trio.fail_after(LIMIT_S):
        async with (
            relay_server() as server,
            daemon(tmp_path / "a") as hub,
            daemon(tmp_path / "b") as ben,
            daemon(tmp_path / "c") as carl,
        ):
            await closed([hub, ben, carl], url_of(server))
            await has_joined(ben, carl)
            star = {"network": NET, "topology": "star", "hub": hub.device_id}
            assert (await hub.ask("governance_propose_topology", **star))["effective"]
            for one, other in ((ben, carl), (carl, ben)):
                assert await shape(one) == {"kind": "star", "hub": hub.device_id}
                await not_linked(one, other)
                await has_joined(hub, one)
            with pytest.raises(Refused, match="governed by a signed owner transition"):
                await ben.ask("topology_set", network=NET, topology="full_mesh")

            await restart((hub, ben, carl), signal.SIGKILL)
            for one, other in ((ben, carl), (carl, ben)):
                await has_joined(hub, one)
                assert await shape(one) == {"kind": "star", "hub": hub.device_id}
                await not_linked(one, other)

            # A member's wish waits for the owner, and then acts on everybody.
            waits = await ben.ask("governance_propose_topology", network=NET, topology="full_mesh")
            assert (waits["effective"], waits["waits_for"]) == (False, [hub.device_id])
            record = await waits_here(hub)
            assert (await hub.ask("governance_sign", network=NET, proposal_id=record["id"]))["effective"]
            await has_joined(ben, carl)
            assert await shape(carl) == {"kind": "full_mesh"}


async def put_out(device: Daemon) -> bool | None:
    """What its list of networks says."""
    [row] = (await device.ask("networks_list"))["networks"]
    told: bool | None = row.get("put_out")
    return told


async def shape(device: Daemon) -> Any:
    """The signed one, as soon as the device has heard of any."""

    async def signed() -> Any:
        return (await state(device))["state"]["topology"]

    return await until(f"a shape is signed at {device.home.name}", signed)
