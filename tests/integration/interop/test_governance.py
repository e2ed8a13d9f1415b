"""The imitation of v0.3.8 in every role of a closed network: newcomer, member, controller, evicted, owner (spec 02)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import trio

from integration.interop.stage import meeting, on_both_sides
from myownmesh.protocol.transitions import Evict, KindChange, RoleGrant
from support.attacks import device
from support.reference_governed import GovernedPeer, captured_members

if TYPE_CHECKING:
    from collections.abc import Callable

    from integration.interop.stage import Side, Stage
    from support.daemons import Daemon

FIRST, SECOND = device(1), device(2)


async def until(stage: Stage, what: str, holds: Callable[[Any], Any]) -> Any:
    """Wait for something of our signed state; the value that holds."""
    with trio.move_on_after(80):
        while not (found := holds(await stage.ask("governance_state"))):
            await trio.sleep(0.05)
        return found
    raise AssertionError(f"never: {what}; {await stage.ask('governance_state')}")


async def grant(stage: Stage, target: str, role: str) -> None:
    assert (await stage.ask("governance_propose_role_grant", target=target, role=role))["effective"]


def frames_are_as_captured(stage: Stage, they: GovernedPeer) -> None:
    """Both ways, each frame about governance has the members of v0.3.8's, in their order."""
    captured = captured_members()
    captured["roster_request"] = ["kind", "include_all", "subtree_hashes"]
    for frame in (*they.sent, *stage.peer.frames):
        wanted = captured.get(frame["kind"], list(frame))
        if frame == {"kind": "deny", "reason": "evicted"}:  # the proof was shown a moment ago
            continue
        assert list(frame) == wanted


@pytest.mark.slow
@on_both_sides
async def test_it_comes_as_a_newcomer_is_a_member_a_controller_put_out_and_let_in_again(
    ours: Daemon, side: Side
) -> None:
    async with meeting(ours, side, join=False) as stage:
        peer, they = stage.peer, GovernedPeer(stage.peer)
        await stage.ask("governance_propose_kind_change", to="closed")

        # A newcomer waits, whatever the record approves by itself; it hears nothing before somebody signs it in.
        peer.join()
        await stage.wait_for("pending_approval")
        assert (they.mind.kind, they.mind.log) == ("open", [])
        assert (await stage.ask("roster_approve", device_id=peer.device_id))["effective"]
        await stage.both_active()
        owner = ours.device_id
        await peer.until(lambda: they.mind.roles == {owner: "owner", peer.device_id: "member"}, "it knows its role")

        # A member only proposes: what is denied here is gone there, what is signed here holds there.
        await grant(stage, FIRST, "member")
        denied = they.decide(Evict(FIRST))
        await until(stage, "its wish", lambda told: [each["id"] for each in told["state"]["pending"]] == [denied])
        await stage.ask("governance_deny", proposal_id=denied)
        await peer.until(lambda: denied not in they.mind.pending, "it hears that it is denied")
        wish = they.decide(Evict(FIRST))
        [record] = await until(stage, "its second wish", lambda told: told["state"]["pending"])
        assert (record["id"], record["proposer"]) == (wish, peer.device_id)
        assert (await stage.ask("governance_sign", proposal_id=wish))["effective"]
        await peer.until(lambda: they.mind.is_evicted(FIRST), "the eviction holds there")

        # A controller lets in and puts out; what only an owner may do waits.
        await grant(stage, peer.device_id, "controller")
        await peer.until(lambda: they.mind.roles.get(peer.device_id) == "controller", "it is controller")
        they.decide(RoleGrant(SECOND, "member"))
        await until(stage, "whom it let in", lambda told: told["state"]["roles"].get(SECOND) == "member")
        they.decide(Evict(SECOND))
        await until(stage, "whom it put out", lambda told: SECOND in told["evicted"])
        waits = they.decide(RoleGrant(SECOND, "owner"))
        await until(stage, "an owner is wanted", lambda told: [e["id"] for e in told["state"]["pending"]] == [waits])
        assert SECOND not in (await stage.ask("governance_state"))["state"]["roles"]
        await stage.ask("governance_deny", proposal_id=waits)

        # Put out, it gets the proof, is denied at its next handshake, and is back when it is signed in again.
        assert (await stage.ask("governance_propose_evict", target=peer.device_id))["effective"]
        await peer.until(lambda: they.is_out and peer.link is None, "it hears that it is out, and its link ends")
        denials = peer.count("deny")
        assert (await peer.sees("deny", reason="evicted"))["member_log"]
        they.dial()
        await peer.until(lambda: peer.count("deny") > denials and peer.link is None, "it is denied again")
        await grant(stage, peer.device_id, "member")
        await stage.both_active()
        await peer.until(lambda: not they.is_out, "it knows that it is in")
        await peer.alive()
        assert SECOND in (await stage.ask("governance_state"))["evicted"], "what it signed as a controller still holds"
        frames_are_as_captured(stage, they)


@on_both_sides
async def test_it_founds_and_decides_as_an_owner_and_puts_ours_out_and_in(ours: Daemon, side: Side) -> None:
    async with meeting(ours, side) as stage:
        peer, they = stage.peer, GovernedPeer(stage.peer)
        me = ours.device_id
        await stage.both_active()
        they.decide(KindChange("closed"))
        [claim] = await until(stage, "its founding is shown", lambda told: told["state"]["pending"])
        assert (await stage.ask("governance_sign", proposal_id=claim["id"]))["effective"]
        they.decide(RoleGrant(me, "member"))
        wanted = {peer.device_id: "owner", me: "member"}
        await until(stage, "it let ours in", lambda told: told["state"]["roles"] == wanted)

        they.decide(RoleGrant(me, "controller"))
        await until(stage, "ours is controller", lambda told: told["state"]["roles"][me] == "controller")
        await grant(stage, FIRST, "member")
        await peer.until(lambda: they.mind.roles.get(FIRST) == "member", "whom ours let in is in there")
        they.decide(Evict(FIRST))
        await until(stage, "it put somebody out", lambda told: FIRST in told["evicted"])

        # Put out while linked, ours stands down; it is back when its owner has signed it in and dials.
        they.decide(Evict(me))
        await until(stage, "ours is out", lambda told: me in told["evicted"])
        await peer.until(lambda: peer.link is None, "the link ends")
        assert (await stage.row() or {"status": "offline"})["status"] not in ("active", "shelved")
        they.decide(RoleGrant(me, "member"))
        they.dial()
        await stage.both_active()
        await until(stage, "ours is back", lambda told: told["state"]["roles"].get(me) == "member")
        frames_are_as_captured(stage, they)
