"""An owner whose signatures are locked, at the socket and at the terminal: nothing signs by itself (spec 02 §17)."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING, Any

import pytest
import trio

from integration.governance.test_governance_page import ended
from myownmesh.protocol.transitions import Evict, RoleRevoke
from support.attacks import CAROL, DAVE, ERIN, NETWORK, NOW, entries, signed
from support.daemons import Refused, daemon, network_record
from support.governance import entry_of
from support.probe import identity, probe
from support.signaling import relay_server, url_of

if TYPE_CHECKING:
    from pathlib import Path

    from support.daemons import Daemon

LIMIT_S = 110.0
CODE = "custody: this change requires your authenticator code"


async def state(device: Daemon) -> Any:
    return (await device.ask("governance_state", network=NETWORK))["state"]


async def grant(device: Daemon, to: str, role: str, **code: str) -> None:
    done = await device.ask("governance_propose_role_grant", network=NETWORK, target=to, role=role, **code)
    assert done["effective"]


@pytest.mark.slow
async def test_behind_a_lock_nothing_signs_by_itself_it_becomes_a_record(tmp_path: Path) -> None:
    """Somebody else's owner, who runs v0.3.8, demotes a controller and signs nothing anew."""
    ctl = ["ctl", "governance"]
    with trio.fail_after(LIMIT_S):
        async with relay_server() as server, daemon(tmp_path / "a") as anna:
            record = network_record(NETWORK, url_of(server))
            await anna.ask("network_add", config=record)
            await anna.ask("governance_propose_kind_change", network=NETWORK, to="closed")
            other = identity(1, above=anna.device_id)
            for device, role in ((other.device_id, "owner"), (CAROL.device_id, "controller"), (DAVE, "member")):
                await grant(anna, device, role)

            _, said, _ = await ended(anna, [*ctl, "mfa", "enroll", NETWORK])
            codes = json.loads(said)["recovery_codes"]
            with pytest.raises(Refused, match=CODE):
                await grant(anna, ERIN, "member")
            assert ERIN not in (await state(anna))["roles"]
            # Nor does anything weaken the network, or let somebody in by another way (24.3 no. 52).
            for weaker in ({"compat": {"replayable_logs": True}}, {"founder": ERIN}):
                with pytest.raises(Refused, match=CODE):
                    await anna.ask("network_update", config=record | weaker)
            with pytest.raises(Refused, match=CODE):
                await anna.ask("roster_approve", network=NETWORK, device_id=ERIN)
            assert ERIN not in (await state(anna))["roles"]
            await grant(anna, ERIN, "member", mfa_code=codes[0])

            async with probe(NETWORK, url_of(server), other) as peer:
                peer.only = anna.device_id
                await peer.become_active()
                put_out = signed(Evict(DAVE), CAROL, at=NOW + 1000)
                peer.send(entries(members=[put_out]))
                await anna.until_governed(NETWORK, "Dave is out", lambda told: DAVE in told["evicted"])
                log = [entry_of(each) for each in (await state(anna))["transitions"]]
                demoted = signed(RoleRevoke(CAROL.device_id), other)
                peer.send(entries([*log, demoted]))
                [record] = await anna.until_governed(NETWORK, "a record waits", lambda told: told["state"]["pending"])
            assert (record["variant"], record["created_at"]) == ({"kind": "evict", "target": DAVE}, put_out.at)

            # It waits over a restart, unsigned, and what it is about holds all the same.
            await anna.stop(signal.SIGKILL)
            await anna.start()
            told = await anna.until_governed(
                NETWORK, "the record is there again", lambda told: told["state"]["pending"] and told
            )
            assert DAVE in told["evicted"]
            assert signers(told["state"], DAVE) == [[CAROL.device_id]]
            _, said, _ = await ended(anna, [*ctl, "pending", NETWORK, "--json"])
            [row] = json.loads(said)["rows"]
            assert (row["id"], row["sort"], row["decides"] != []) == (record["id"], "owed", True)

            # The terminal asks for the code, the socket too; with it, the removal is signed with its old time.
            sign = [*ctl, "sign", NETWORK, record["id"]]
            code, _, complaint = await ended(anna, sign)
            assert (code, complaint.splitlines()[-1]) == (1, f"error: daemon error: {CODE}")
            assert "this device would sign by itself, but for the lock: puts" in complaint
            with pytest.raises(Refused, match="invalid authenticator code"):
                await anna.ask("governance_sign", network=NETWORK, proposal_id=record["id"], mfa_code="000000")
            assert (await ended(anna, [*sign, "--mfa-code", codes[1]]))[0] == 0
            after = await state(anna)
            assert after["pending"] == []
            assert sorted(signers(after, DAVE)) == sorted([[CAROL.device_id], [anna.device_id]])
            assert {each["at"] for each in after["member_log"] if each["variant"]["kind"] == "evict"} == {put_out.at}


def signers(told: Any, evicted: str) -> list[list[str]]:
    """Who has signed an eviction of a device."""
    return [each["signers"] for each in told["member_log"] if each["variant"] == {"kind": "evict", "target": evicted}]
