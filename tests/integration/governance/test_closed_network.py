"""A closed network from its founding on: signatures decide who belongs (spec 02). Real daemons, a real relay."""

from __future__ import annotations

import json
import signal
import stat
from typing import TYPE_CHECKING, Any

import pytest
import trio

from support.daemons import Refused, daemon, host_relay, network_record

if TYPE_CHECKING:
    from pathlib import Path

    from support.daemons import Daemon

NET = "fleet-1"
LIMIT_S = 90.0


async def until(what: str, holds: Any) -> Any:
    """Wait for something of a daemon; the value that holds."""
    with trio.move_on_after(20):
        while True:
            if found := await holds():
                return found
            await trio.sleep(0.05)
    raise AssertionError(f"never: {what}")


async def state(device: Daemon) -> Any:
    return await device.ask("governance_state", network=NET)


async def role(device: Daemon, of: Daemon) -> str | None:
    told: str | None = (await state(device))["state"]["roles"].get(of.device_id)
    return told


async def has_role(device: Daemon, of: Daemon, wanted: str | None) -> None:
    async def holds() -> bool:
        return await role(device, of) == wanted

    await until(f"{of.home.name} is {wanted} at {device.home.name}", holds)


async def grant(device: Daemon, to: Daemon, wanted: str) -> Any:
    return await device.ask("governance_propose_role_grant", network=NET, target=to.device_id, role=wanted)


async def active(device: Daemon, peer: Daemon) -> None:
    await device.wait_for_peer(NET, peer.device_id, "active")


async def pending_at(device: Daemon) -> list[Any]:
    found: list[Any] = (await state(device))["state"]["pending"]
    return found


async def consents(device: Daemon) -> None:
    """A person there agrees to the founder whose close it has heard of."""
    [record] = await until("a claim is shown", lambda: pending_at(device))
    assert record["variant"] == {"kind": "kind_change", "to": "closed"}
    assert (await device.ask("governance_sign", network=NET, proposal_id=record["id"]))["effective"]


async def test_a_network_is_founded_and_signatures_decide_who_belongs(tmp_path: Path) -> None:
    with trio.fail_after(LIMIT_S):
        async with daemon(tmp_path / "a") as anna, daemon(tmp_path / "b") as ben, daemon(tmp_path / "c") as carl:
            relay = await host_relay(anna)
            for device in (anna, ben, carl):
                await device.ask("network_add", config=network_record(NET, relay))
            for one, other in ((anna, ben), (ben, anna)):
                await one.ask("roster_approve", network=NET, device_id=other.device_id)
            await active(anna, ben)
            await active(ben, anna)

            founded = await anna.ask("governance_propose_kind_change", network=NET, to="closed")
            assert founded["effective"] is True
            told = (await state(anna))["state"]
            assert (told["kind"], told["roles"]) == ("closed", {anna.device_id: "owner"})
            await consents(ben)
            assert await role(ben, anna) == "owner"

            # The owner signs Ben in; Ben, made controller, lets Carl in.
            assert (await grant(anna, ben, "controller"))["effective"]
            await has_role(ben, ben, "controller")
            assert (await ben.ask("governance_state", network=NET))["state"]["kind"] == "closed"

            for name, folder in (("state", "states"), ("pin", "pins")):
                path = tmp_path / "a" / "mesh" / folder / f"{NET}.json"
                assert stat.S_IMODE(path.stat().st_mode) == 0o600, name
            pin = json.loads((tmp_path / "a" / "mesh" / "pins" / f"{NET}.json").read_text())
            assert (pin["founder"], pin["kind"], pin["signed"]) == (anna.device_id, "closed", True)

            # A stranger waits, whatever its person clicks; a controller's signature lets it in.
            await carl.ask("network_update", config=network_record(NET, relay, kind="closed"))
            await carl.ask("roster_approve", network=NET, device_id=ben.device_id)
            await ben.wait_for_peer(NET, carl.device_id, "pending_approval")
            assert (await grant(ben, carl, "member"))["effective"]
            await has_role(anna, carl, "member")

            # Killed at once, everybody finds its state again.
            await ben.stop(signal.SIGKILL)
            await ben.start()
            assert await role(ben, carl) == "member"
            await active(anna, ben)

            with pytest.raises(Refused, match="this is the last owner"):
                await anna.ask("governance_propose_role_revoke", network=NET, target=anna.device_id)
