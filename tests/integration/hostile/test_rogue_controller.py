"""A controller that has gone bad, at the real daemon of an owner (spec 02 §24 W15, 24.3 nos. 47, 58).

Whom it planted goes with it and whom it put out stays out; signatures that are none cost itself alone; and in a network
that fits no frame everybody hears all of it, and whoever is put out gets the proof.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import msgspec
import pytest
import trio

from myownmesh.protocol import base32
from myownmesh.protocol.codec import encode_frame
from myownmesh.protocol.frames import Deny, RosterEntries, RosterRequest
from myownmesh.protocol.limits import MAX_FRAME_BYTES
from myownmesh.protocol.transitions import Evict, KindChange, RoleGrant
from myownmesh.simulator.reference_governance import ReferenceGovernance
from support.attacks import ALICE, CAROL, NETWORK, NOW, device, entries, hold, signed
from support.daemons import daemon, host_relay, network_record
from support.probe import identity, probe

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from myownmesh.identity import Identity
    from myownmesh.protocol.transitions import Transition
    from support.daemons import Daemon
    from support.probe import Probe

LIMIT_S = 110.0
CROWD = [device(number) for number in range(2000, 2230)]
"""So many that their admits fit no frame."""
PLANTED, PLANTED_BY_CAROL, PUT_OUT, PUT_OUT_BY_CAROL, BEHIND_BAD_ONES, LATER = map(device, range(3000, 3006))


def log_of(owner: str, rogue: Identity) -> tuple[Transition, ...]:
    return (
        signed(KindChange("closed"), ALICE, at=NOW - 9000),
        signed(RoleGrant(owner, "owner"), ALICE, at=NOW - 8000),
        signed(RoleGrant(rogue.device_id, "controller"), ALICE, at=NOW - 7000),
        signed(RoleGrant(CAROL.device_id, "controller"), ALICE, at=NOW - 7000),
    )


def members_of(owner: str, rogue: Identity) -> tuple[Transition, ...]:
    inside = [owner, rogue.device_id, CAROL.device_id, PUT_OUT, PUT_OUT_BY_CAROL, *CROWD]
    return (
        *(signed(RoleGrant(each, "member"), ALICE, at=NOW - 6000) for each in inside),
        signed(Evict(PUT_OUT), rogue, at=NOW - 5000),
        signed(Evict(PUT_OUT_BY_CAROL), CAROL, at=NOW - 5000),
    )


def plants(rogue: Identity) -> tuple[Transition, ...]:
    return signed(RoleGrant(PLANTED, "member"), rogue), signed(RoleGrant(PLANTED_BY_CAROL, "member"), CAROL)


def flood() -> tuple[Transition, ...]:
    """Signatures of an authority that are none, each about somebody else, and behind them a good one."""
    bad = [
        msgspec.structs.replace(signed(RoleGrant(device(number), "member"), ALICE), signatures=(no_signature(number),))
        for number in range(4000, 4120)
    ]
    return (*bad, signed(RoleGrant(BEHIND_BAD_ONES, "member"), ALICE))


def no_signature(number: int) -> str:
    """64 bytes of canonical form that sign nothing."""
    return base32.encode(bytes([7]) * 60 + number.to_bytes(2, "big") + bytes([0, 0]))


@asynccontextmanager
async def court(root: Path) -> AsyncIterator[tuple[Daemon, Probe, str]]:
    """An owner's daemon with a large network, and the controller on a link to it."""
    async with daemon(root / "owner") as owner:
        relay = await host_relay(owner)
        rogue = identity(1, above=owner.device_id)
        log, members = log_of(owner.device_id, rogue), members_of(owner.device_id, rogue)
        hold(owner.home, log, members)
        await owner.ask("network_add", config=network_record(NETWORK, relay, kind="closed"))
        async with probe(NETWORK, relay, rogue) as peer:
            peer.only = owner.device_id
            await peer.become_active()
            yield owner, peer, relay


async def said(owner: Daemon) -> tuple[dict[str, str], set[str]]:
    told = await owner.ask("governance_state", network=NETWORK)
    return told["state"]["roles"], set(told["evicted"])


async def until_in(owner: Daemon, whom: str, peer: Probe, again: Transition | None = None) -> None:
    """Until somebody is a member there; what is not looked at yet is sent again, as any device would."""
    with trio.fail_after(60):
        while whom not in (await said(owner))[0]:
            if again is not None:
                peer.send(entries(members=[again]))
            await trio.sleep(0.1)


async def test_a_rogue_controller_at_the_daemon_of_an_owner(tmp_path: Path) -> None:
    with trio.fail_after(LIMIT_S):
        async with court(tmp_path) as (owner, peer, _):
            # W15: whoever asks hears of everybody, in frames that arrive.
            peer.send(RosterRequest(include_all=True))
            heard: set[str] = set()

            def has_all() -> bool:
                answers = [frame for frame in peer.frames if isinstance(frame, RosterEntries)]
                heard.update(getattr(each.variant, "target", "") for frame in answers for each in frame.member_log)
                return heard.issuperset(CROWD)

            await peer.until(has_all, "the whole member log")
            assert max(len(encode_frame(frame)) for frame in peer.frames) <= MAX_FRAME_BYTES

            # 58: bad signatures are charged to whoever shows them. What came behind was not looked at, what comes when
            # the charge is over is.
            peer.send(entries(members=plants(peer.identity)))
            await until_in(owner, PLANTED_BY_CAROL, peer)
            peer.send(entries(members=flood()))
            await until_in(owner, LATER, peer, again=signed(RoleGrant(LATER, "member"), ALICE))
            assert BEHIND_BAD_ONES not in (await said(owner))[0]

            # 47: the attack with the choice that lets it win, and with the one that does not.
            for rogue, keep, stays in ((CAROL.device_id, "all", True), (peer.device_id, "none", False)):
                answer = await owner.ask("governance_propose_evict", network=NETWORK, target=rogue, keep=keep)
                assert answer["effective"]
                roles, evicted = await said(owner)
                planted, put_out = (PLANTED_BY_CAROL, PUT_OUT_BY_CAROL) if stays else (PLANTED, PUT_OUT)
                assert (planted in roles) is stays
                assert {put_out, rogue} <= evicted, "what it put out stays out, whatever the person chooses"

            # W15 once more: the proof of its removal comes, though the member log would fit no frame.
            deny = await peer.sees(Deny)
            assert len(encode_frame(deny)) <= MAX_FRAME_BYTES
            assert Evict(peer.device_id) in [each.variant for each in deny.member_log]


@pytest.fixture(scope="module")
def reference() -> tuple[ReferenceGovernance, Identity]:
    """v0.3.8 in the place of that owner."""
    me, rogue = identity(2), identity(3)
    made = ReferenceGovernance(NETWORK, me)
    assert made.take(log_of(me.device_id, rogue), members_of(me.device_id, rogue))
    return made, rogue


def test_at_v038_each_of_it_wins(reference: tuple[ReferenceGovernance, Identity]) -> None:
    model, rogue = reference
    assert (list(model.answer()), list(model.denial())) == ([], []), "W15: no answer and no proof fits a frame"
    model.hear(entries(members=flood()), rogue.device_id)
    assert model.roles[BEHIND_BAD_ONES] == "member", "58: all signatures before it were checked"
    model.hear(entries(members=plants(rogue)), rogue.device_id)
    assert model.is_evicted(PUT_OUT)
    model.propose("prop_1", Evict(rogue.device_id), NOW)
    assert model.is_evicted(rogue.device_id)
    assert not model.is_evicted(PUT_OUT), "47, W11: whom it had put out is back"
