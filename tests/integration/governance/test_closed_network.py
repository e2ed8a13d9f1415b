"""A closed network from its founding on: signatures decide who belongs (spec 02). Real daemons, a real relay."""

from __future__ import annotations

import json
import signal
import stat
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
import trio

from mesh_common.client.errors import ControlError
from myownmesh.identity import Identity
from support.daemons import Refused, daemon, host_relay, network_record
from support.signaling import relay_server, url_of

if TYPE_CHECKING:
    from pathlib import Path

    from support.daemons import Daemon

NET = "fleet-1"
LIMIT_S = 110.0


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

            await replays(anna, ben, carl)

            with pytest.raises(Refused, match="this is the last owner"):
                await anna.ask("governance_propose_role_revoke", network=NET, target=anna.device_id)


async def replays(device: Daemon, *others: Daemon) -> None:
    """`ctl record` in a network with owners: the file names nobody, and its replay comes to the same links."""
    told = await device.ask("network_record", network=NET)
    text = await trio.Path(told["path"]).read_text()
    assert not [each.home.name for each in (device, *others) if each.device_id in text]
    words = [sys.executable, "-m", "myownmesh.simulator", "replay", told["path"]]
    done = await trio.run_process(words, capture_stdout=True)
    shown = done.stdout.decode().splitlines()
    assert [line for line in shown if line.startswith("peer ") and "active" in line], shown[-3:]
    assert [line for line in shown if " govern act" in line], "its own decisions are among the inputs"


async def waits_here(device: Daemon) -> Any:
    [record] = await until("something waits", lambda: pending_at(device))
    return record


async def closed(devices: list[Daemon], relay: str) -> None:
    """A network that the first device founds; the others, which know whom to believe, are signed in."""
    founder, *others = devices
    await founder.ask("network_add", config=network_record(NET, relay))
    await founder.ask("governance_propose_kind_change", network=NET, to="closed")
    for device in others:
        config = network_record(NET, relay, kind="closed", founder=founder.device_id)
        await device.ask("network_add", config=config)
        await device.ask("roster_approve", network=NET, device_id=founder.device_id)
        admitted = await founder.ask("roster_approve", network=NET, device_id=device.device_id, label="x")
        assert (admitted["effective"], admitted["approved"]) == (True, device.device_id)
    for device in others:
        await has_role(device, device, "member")
        await active(founder, device)


async def is_evicted(device: Daemon, whom: Daemon) -> None:
    async def holds() -> bool:
        return whom.device_id in (await state(device))["evicted"]

    await until(f"{whom.home.name} is out at {device.home.name}", holds)


async def not_linked(device: Daemon, peer: Daemon) -> None:
    async def holds() -> bool:
        found = await device.peer(NET, peer.device_id)
        return found is None or found["status"] not in ("active", "shelved", "pending_approval")

    await until(f"{device.home.name} has no link to {peer.home.name}", holds)


async def test_an_evicted_device_hears_it_and_stays_out_over_restarts(tmp_path: Path) -> None:
    with trio.fail_after(LIMIT_S):
        async with (
            relay_server() as server,
            daemon(tmp_path / "a") as anna,
            daemon(tmp_path / "b") as ben,
            daemon(tmp_path / "c") as carl,
        ):
            await closed([anna, ben, carl], url_of(server))
            await active(ben, carl)

            # What a member's person lets in is a wish, and no row: an authority decides (FIX 18).
            stranger = Identity.from_seed(bytes([203]) * 32).device_id
            wished = await ben.ask("roster_approve", network=NET, device_id=stranger)
            assert (wished["approved"], wished["effective"], wished["waits_for"]) == (stranger, False, [anna.device_id])
            rows = (await ben.ask("roster_list", network=NET))["roster"]
            assert not [row for row in rows if row["device_id"].startswith(stranger)]
            record = await waits_here(anna)
            assert (record["id"], record["variant"]["target"]) == (wished["proposal_id"], stranger)
            await anna.ask("governance_deny", network=NET, proposal_id=record["id"])

            # A member proposes; the owner's signature lets it act. What was shown is what is signed.
            proposed = await ben.ask("governance_propose_evict", network=NET, target=carl.device_id)
            assert (proposed["effective"], proposed["waits_for"]) == (False, [anna.device_id])
            record = await waits_here(anna)
            assert (record["id"], record["proposer"]) == (proposed["proposal_id"], ben.device_id)
            with pytest.raises(Refused, match="proposal changed since it was shown"):
                await anna.ask("governance_sign", network=NET, proposal_id=record["id"], digest="other")
            signed = await anna.ask("governance_sign", network=NET, proposal_id=record["id"])
            assert signed["effective"] is True
            for device in (anna, ben, carl):
                await is_evicted(device, carl)
            for member in (anna, ben):
                await not_linked(member, carl)
                rows = (await member.ask("roster_list", network=NET))["roster"]
                assert not [row for row in rows if row["device_id"].startswith(carl.device_id)]
                assert not (await state(member))["state"]["pending"]

            # It stays out over everybody's restart, and a click does not bring it back.
            for device in (anna, ben, carl):
                await device.stop(signal.SIGKILL)
                await device.start()
            await active(anna, ben)
            # What peers tell is saved once a second: whoever was killed before that hears it again.
            await is_evicted(ben, carl)
            with pytest.raises(Refused, match="was evicted by the network's signed governance"):
                await ben.ask("roster_approve", network=NET, device_id=carl.device_id)
            await not_linked(anna, carl)


@pytest.mark.parametrize("has_app", [False, True])
async def test_an_invitation_to_a_closed_network_names_its_founder_and_is_a_signed_admit(
    tmp_path: Path, has_app: bool
) -> None:
    """An app has the link kept first, then adds the network with a record of its own."""
    with trio.fail_after(LIMIT_S):
        async with daemon(tmp_path / "a") as anna, daemon(tmp_path / "b") as ben:
            relay = await host_relay(anna)
            await anna.ask("network_add", config=network_record(NET, relay))
            await anna.ask("governance_propose_kind_change", network=NET, to="closed")
            made = await anna.ask("invite_create", network=NET)
            assert (made["effective"], made["waits_for"]) == (True, [])
            if has_app:
                await ben.ask("network_join_invite", text=made["text"], ahead=True)
                await ben.ask("network_add", config=network_record(NET, relay, kind="closed"))
            await ben.ask("network_join_invite", text=made["text"], approve_inviter=has_app)
            await active(anna, ben)
            await active(ben, anna)
            await has_role(ben, ben, "member")
            told = await state(ben)
            assert (told["state"]["kind"], told["state"]["roles"][anna.device_id]) == ("closed", "owner")
            # A member's invitation waits for whoever may sign.
            second = await ben.ask("invite_create", network=NET)
            assert (second["effective"], second["waits_for"]) == (False, [anna.device_id])


@pytest.mark.slow
async def test_whatever_is_killed_while_it_saves_finds_its_state_again(tmp_path: Path) -> None:
    """Every answer that came was on the disk before it came; nothing in between makes the network another one."""
    with trio.fail_after(LIMIT_S):
        async with daemon(tmp_path / "a") as anna:
            await anna.ask("network_add", config=network_record(NET, "ws://127.0.0.1:9"))
            await anna.ask("governance_propose_kind_change", network=NET, to="closed")
            answered: list[str] = []

            async def admit(device_id: str) -> None:
                with suppress(ControlError, Refused):
                    await anna.ask("governance_propose_role_grant", network=NET, target=device_id, role="member")
                    answered.append(device_id)

            for round_number in range(2):
                others = [Identity.from_seed(bytes([round_number, each]) * 16).device_id for each in range(1, 12)]
                async with trio.open_nursery() as nursery:
                    for device_id in others:
                        nursery.start_soon(admit, device_id)
                    while len(answered) < 4 * (round_number + 1):
                        await trio.sleep(0.01)
                    await anna.stop(signal.SIGKILL)
                await anna.start()
                told = (await state(anna))["state"]
                assert (told["kind"], told["roles"][anna.device_id]) == ("closed", "owner")
                assert set(answered) <= told["roles"].keys()
                assert not list((tmp_path / "a" / "mesh" / "states").glob("*.corrupt"))
            audit = (tmp_path / "a" / "mesh" / "audit" / f"{NET}.jsonl").read_text()
            seen = [json.loads(line) for line in audit.splitlines()]
            assert {line["outcome"] for line in seen} == {"decided"}
            await a_damaged_file_opens_nothing(anna)
            await nobody_founds_again_under_the_same_name(anna)


async def a_damaged_file_opens_nothing(founder: Daemon) -> None:
    """v0.3.8 goes on with an open network that believes the next log (02 FIX 21)."""
    await founder.stop()
    path = founder.home / "mesh" / "states" / f"{NET}.json"
    path.write_bytes(path.read_bytes()[:-100])
    await founder.start()
    told = (await state(founder))["state"]
    assert (told["kind"], told["transitions"]) == ("closed", [])
    with pytest.raises(Refused, match="has lost its log on this device; 0 of 1 entries are back"):
        await grant(founder, founder, "member")


async def nobody_founds_again_under_the_same_name(founder: Daemon) -> None:
    """All that was signed in the first life would be good in the second (02 §24.3 no. 43)."""
    await founder.ask("network_remove", network=NET, purge=True)
    await founder.ask("network_add", config=network_record(NET, "ws://127.0.0.1:9"))
    assert (await state(founder))["state"]["kind"] == "open", "nobody is pinned any more"
    with pytest.raises(Refused, match="this device signed in fleet-1 before; found a new network under another name"):
        await founder.ask("governance_propose_kind_change", network=NET, to="closed")


@pytest.mark.slow
async def test_what_two_owners_decided_apart_is_merged_when_they_meet(tmp_path: Path) -> None:
    with trio.fail_after(LIMIT_S):
        async with relay_server() as server, daemon(tmp_path / "a") as anna, daemon(tmp_path / "b") as ben:
            await closed([anna, ben], url_of(server))
            await grant(anna, ben, "owner")
            await has_role(ben, ben, "owner")
            first, second = (Identity.from_seed(bytes([each]) * 32).device_id for each in (201, 202))
            await ben.stop()
            grants = {"op": "governance_propose_role_grant", "network": NET, "role": "controller"}
            assert (await anna.ask(**grants, target=first))["effective"]
            await anna.stop()
            await ben.start()
            assert (await ben.ask(**grants, target=second))["effective"]
            await anna.start()
            for device in (anna, ben):

                async def has_both(at: Daemon = device) -> bool:
                    roles = (await state(at))["state"]["roles"]
                    return roles.get(first) == roles.get(second) == "controller"

                await until(f"{device.home.name} has what both decided", has_both)
            logs = [(await state(device))["state"]["transitions"] for device in (anna, ben)]
            assert [each["variant"] for each in logs[0]] == [each["variant"] for each in logs[1]]
