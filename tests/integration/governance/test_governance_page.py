"""The commands of docs/governance.md, in their order, on two real devices."""

from __future__ import annotations

import json
import os
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trio

from myownmesh.protocol.ids import display_id
from support import warm
from support.daemons import daemon, host_relay, network_record
from support.probe import identity

if TYPE_CHECKING:
    from support.daemons import Daemon

PAGE = (Path(__file__).parents[3] / "docs" / "governance.md").read_text("utf-8")
COMMANDS = [
    line for block in re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL) for line in block.splitlines()
]
NET = "family"
CARL = identity(3).device_id
"""Never online; what is signed about him needs nobody there."""
LIMIT_S = 280.0
"""Thirty commands one after the other; each waits for what the one before it has brought to the other device."""
PATIENCE_S = 30.0


async def ended(device: Daemon, words: list[str], typed: str = "") -> tuple[int, str, str]:
    """A command's exit code, output and complaint."""
    done = await trio.run_process(
        [*warm.words("myownmesh"), *words],
        env={**os.environ, "MYOWNMESH_HOME": str(device.home)},
        cwd=device.home.parent,
        stdin=typed.encode(),
        capture_stdout=True,
        capture_stderr=True,
        check=False,
    )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


async def run(device: Daemon, words: list[str], typed: str) -> Any:
    """A command, again while what it builds on is still on its way; its JSON."""
    complaint = ""
    with trio.move_on_after(PATIENCE_S):
        while True:
            code, said, complaint = await ended(device, words, typed)
            if code == 0:
                return json.loads(said)
            await trio.sleep(0.1)
    raise AssertionError(f"{' '.join(words)}: {complaint}")


async def a_member_only_proposes(member: Daemon, owner: Daemon) -> None:
    evict = ["ctl", "governance", "evict", NET, display_id(owner.device_id)]
    with trio.fail_after(PATIENCE_S):
        while (ended_so := await ended(member, evict))[0] == 1:
            assert "this is the last owner" in ended_so[2]  # until it hears of the printed one
            await trio.sleep(0.1)
    waits = json.loads(ended_so[1])
    assert (ended_so[0], waits["effective"], display_id(owner.device_id) in waits["waits_for"]) == (3, False, True)
    assert (await ended(member, ["ctl", "governance", "withdraw", NET, waits["proposal_id"]]))[0] == 0


async def nothing_is_signed_without_a_code(owner: Daemon, other: Daemon, shown: Any) -> None:
    evict = ["ctl", "governance", "evict", NET, display_id(other.device_id)]
    code, _, complaint = await ended(owner, evict)
    assert (code, complaint) == (1, "error: daemon error: custody: this change requires your authenticator code\n")
    grant = ["ctl", "governance", "grant-role", NET, "a" * 51 + "q", "member", "--mfa-code"]
    assert (await ended(owner, [*grant, shown["recovery_codes"][0]]))[0] == 0
    assert "invalid authenticator code" in (await ended(owner, [*grant[:-2], "controller", "--mfa-code", "1"]))[2]


async def pending(device: Daemon) -> str:
    with trio.fail_after(PATIENCE_S):
        while True:
            found = (await device.ask("governance_state", network=NET))["state"]["pending"]
            if found:
                return str(found[0]["id"])
            await trio.sleep(0.05)


async def meet(anna: Daemon, ben: Daemon) -> None:
    relay = await host_relay(ben)
    for device in (anna, ben):
        await device.ask("network_add", config=network_record(NET, relay))
    for one, other in ((anna, ben), (ben, anna)):
        await one.ask("roster_approve", network=NET, device_id=other.device_id)
    await anna.wait_for_peer(NET, ben.device_id)
    await ben.wait_for_peer(NET, anna.device_id)


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_the_pages_commands_found_a_network_and_save_it_from_a_lost_laptop(tmp_path: Path) -> None:
    assert len(COMMANDS) == 20
    with trio.fail_after(LIMIT_S):
        async with daemon(tmp_path / "a") as anna, daemon(tmp_path / "b") as ben:
            await meet(anna, ben)
            devices = {"anna": anna, "ben": ben}
            known = {"$ANNA": display_id(anna.device_id), "$BEN": display_id(ben.device_id), "$CARL": display_id(CARL)}
            key, lost = "", False
            for line in COMMANDS:
                who, command = line.split("$ ", 1)
                device = devices[who]
                if "$PENDING" in command:
                    known["$PENDING"] = await pending(device)
                for name, value in known.items():
                    command = command.replace(name, value)
                if "evict family" in command and not lost:
                    lost = True
                    await anna.stop()  # what the page calls lost
                program, *words = shlex.split(command)
                assert program == "myownmesh"
                told = await run(device, words, key if "recover " in command else "")
                key = told.get("key", key)
                if " doctor " in command:
                    assert [each["code"] for each in told["findings"]] == ["single_owner"]
                if "--dry-run" in command:
                    assert told["outlook"]["owners"] == [known["$BEN" if lost else "$ANNA"]] or lost
                if " pending " in command:
                    assert [each["sort"] for each in told["rows"]] == ["founder"]
                    assert "; approved by you on 2" in told["rows"][0]["text"]  # Ben let her in before
                if " import " in command:
                    assert (told["log"], told["new"]) == ("known", 0)
                if " who " in command:
                    await a_member_only_proposes(ben, anna)
                if "mfa enroll" in command:
                    await nothing_is_signed_without_a_code(anna, ben, told)
            log = (await ben.ask("governance_log", network=NET))["lines"]
            assert display_id(anna.device_id) in {line["through"] for line in log}
            told = await ben.ask("governance_state", network=NET)
            assert told["evicted"] == [anna.device_id]
            assert (told["state"]["roles"][ben.device_id], told["state"]["roles"][CARL]) == ("owner", "controller")


@pytest.mark.slow
@pytest.mark.timeout(200)
async def test_of_one_owner_who_is_lost_a_member_makes_itself_owner_with_the_printed_key_alone(tmp_path: Path) -> None:
    """The first two rows of "A lost laptop": without the key nobody can put it out."""
    with trio.fail_after(180):
        async with daemon(tmp_path / "a") as anna, daemon(tmp_path / "b") as ben:
            await meet(anna, ben)
            await anna.ask("governance_propose_kind_change", network=NET, to="closed")
            await ben.ask("governance_sign", network=NET, proposal_id=await pending(ben))
            await anna.ask("governance_propose_role_grant", network=NET, target=ben.device_id, role="member")
            with trio.fail_after(PATIENCE_S):
                while (await ben.ask("governance_state", network=NET))["state"]["roles"].get(ben.device_id) != "member":
                    await trio.sleep(0.05)
            lost = display_id(anna.device_id)
            code, _, complaint = await ended(ben, ["ctl", "governance", "evict", NET, lost])
            assert (code, "this is the last owner" in complaint) == (1, True)
            revoke = ["ctl", "governance", "revoke-role", NET, display_id(ben.device_id)]
            complaint = f"{display_id(ben.device_id)} has no role to take away; to put it out, evict it"
            assert await ended(anna, revoke) == (1, "", f"error: daemon error: network: {complaint}\n")
            assert (await anna.ask("governance_state", network=NET))["evicted"] == []
            key = (await run(anna, ["ctl", "governance", "recovery-key", NET, "--json"], ""))["key"]
            with trio.fail_after(PATIENCE_S):
                while [*(await ben.ask("governance_state", network=NET))["state"]["roles"].values()].count("owner") < 2:
                    await trio.sleep(0.05)
            await anna.stop()
            recover = ["ctl", "governance", "recover", NET, "--evict", lost, "--json"]
            assert (await ended(ben, recover, key[:-1] + ("a" if key[-1] != "a" else "b")))[0] == 1
            told = json.loads((await ended(ben, recover, key))[1])
            assert (told["owner"], told["evicted"]) == (display_id(ben.device_id), lost)
            after = await ben.ask("governance_state", network=NET)
            assert (after["evicted"], after["state"]["roles"][ben.device_id]) == ([anna.device_id], "owner")
            again = await run(ben, ["ctl", "governance", "recovery-key", NET, "--json"], "")
            assert (again["effective"], again["key"] == key) == (True, False)
