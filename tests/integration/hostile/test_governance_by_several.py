"""Attacks that take two peers, a person at the daemon, or several turns, at a real daemon (spec 02 §24, 24.3).

Where a plain reading of v0.3.8 can hear the same frames, it yields to them here, too.
"""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Final

import trio

from myownmesh.governance.signed_bytes import denied_bytes, signed_bytes
from myownmesh.protocol import base32
from myownmesh.protocol.frames import NetworkStateAck, NetworkStatePropose, Ping, Pong
from myownmesh.protocol.transitions import Evict, KindChange, RoleGrant, Transition
from myownmesh.simulator.reference_governance import ReferenceGovernance
from support.attacks import ALICE, BOB, CAROL, NETWORK, NOW, device, entries, hold, later, marked, signed
from support.daemons import daemon, network_record
from support.governance import DEVICES, entry_of
from support.probe import identity, probe
from support.signaling import relay_server, url_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable
    from pathlib import Path

    from myownmesh.identity import Identity
    from myownmesh.protocol.transitions import Variant
    from support.daemons import Daemon
    from support.probe import Probe

LIMIT_S: Final = 110.0
YEARS_MS: Final = 40 * 365 * 24 * 3600 * 1000
GRACE: Final = DEVICES["grace"]
WANTED, OTHER, RAISED, LOWERED, TWICE = map(device, range(6000, 6005))
FOUNDED: Final = signed(KindChange("closed"), ALICE, at=NOW - 9000)
WISH: Final = RoleGrant(WANTED, "owner")
HARMLESS: Final = RoleGrant(OTHER, "controller")


def let_in(devices: Iterable[str]) -> tuple[Transition, ...]:
    return tuple(signed(RoleGrant(each, "member"), ALICE, at=NOW - 6000) for each in devices)


@asynccontextmanager
async def besieged(
    root: Path,
    count: int,
    seats: Callable[[str], tuple[Transition, ...]],
    members: tuple[Transition, ...] = (),
    authority: Identity | None = None,
) -> AsyncIterator[tuple[Daemon, list[Probe]]]:
    """A daemon that holds a network of Alice's with these `seats` behind the founding, by its own id, and `count`
    members that are linked with it; behind them an `authority` that is, too."""
    async with AsyncExitStack() as stack:
        relay = url_of(await stack.enter_async_context(relay_server()))
        victim = await stack.enter_async_context(daemon(root / "v"))
        people = [identity(number, above=victim.device_id) for number in range(1, count + 1)]
        inside = let_in([victim.device_id, *(each.device_id for each in people)])
        hold(victim.home, (FOUNDED, *seats(victim.device_id)), (*inside, *members))
        await victim.ask("network_add", config=network_record(NETWORK, relay, kind="closed"))
        peers = []
        for who in (*people, *([] if authority is None else [authority])):
            peer = await stack.enter_async_context(probe(NETWORK, relay, who))
            peer.only = victim.device_id
            if who.device_id < victim.device_id:
                await peer.until(lambda peer=peer: victim.device_id in peer.announced, "the daemon in the room")  # type: ignore[misc]  # mypy knows no default of a lambda
                peer.dial(victim.device_id)
            await peer.become_active()
            peers.append(peer)
        yield victim, peers


async def roles_behind(victim: Daemon, peer: Probe, number: int) -> dict[str, str]:
    """The roles when all that a peer has sent is heard: it comes in its turn."""
    marker = device(7000 + number)
    peer.send(entries(members=let_in([marker])))
    found: dict[str, str] = await victim.until_governed(
        NETWORK, "what came before is heard", lambda told: marker in told["state"]["roles"] and told["state"]["roles"]
    )
    return found


def proposal(known: str, variant: Variant, proposer: Identity) -> NetworkStatePropose:
    [signature] = signed(variant, proposer).signatures
    return NetworkStatePropose(known, variant, proposer.device_id, NOW, signature)


def ack(frame: NetworkStatePropose, signer: Identity) -> NetworkStateAck:
    signature = base32.encode(signer.sign(signed_bytes(NETWORK, frame.variant)))
    return NetworkStateAck(frame.proposal_id, signer.device_id, "sign", NOW, signature)


def denial(frame: NetworkStatePropose, signer: Identity) -> NetworkStateAck:
    signature = base32.encode(signer.sign(denied_bytes(NETWORK, frame.proposal_id, signer.device_id)))
    return NetworkStateAck(frame.proposal_id, signer.device_id, "deny", NOW, signature)


def kept(frame: NetworkStatePropose) -> Transition:
    """What anybody makes of a proposal that it heard once."""
    return Transition(NOW, frame.variant, (frame.proposer,), (frame.signature,))


# ── what members signed under proposals ───────────────────────────────────────────────────────────────────────────────


async def test_what_was_signed_and_came_to_nothing_counts_no_more_and_nobody_signs_for_some_only(
    tmp_path: Path,
) -> None:
    """An owner denied it; its proposer is promoted later, and anybody appends it (24.3 no. 64). And an ack that only
    some are shown leaves one log: it is of nobody who decides (W9)."""
    with trio.fail_after(LIMIT_S):
        async with besieged(tmp_path, 2, lambda me: (signed(RoleGrant(me, "owner"), ALICE, at=NOW - 8000),)) as (
            owner,
            (asker, mallory),
        ):
            harmless = proposal("prop_00000000000000d1", HARMLESS, asker.identity)
            asker.send(harmless)
            await owner.until_governed(NETWORK, "the wish is there", lambda told: told["state"]["pending"])
            mallory.send(ack(harmless, mallory.identity))
            await roles_behind(owner, mallory, 1)
            signed_here = {"op": "governance_sign", "network": NETWORK, "proposal_id": harmless.proposal_id}
            assert (await owner.ask(**signed_here))["effective"]
            log = (await owner.ask("governance_state", network=NETWORK))["state"]["transitions"]
            assert log[-1]["signers"] == [asker.device_id, owner.device_id]

            wish = proposal("prop_00000000000000d2", WISH, asker.identity)
            asker.send(wish)
            await owner.until_governed(NETWORK, "the wish is there", lambda told: told["state"]["pending"])
            await owner.ask("governance_deny", network=NETWORK, proposal_id=wish.proposal_id)
            promoted = {"op": "governance_propose_role_grant", "network": NETWORK, "target": asker.device_id}
            assert (await owner.ask(**promoted, role="owner"))["effective"]
            log = (await owner.ask("governance_state", network=NETWORK))["state"]["transitions"]
            mallory.send(entries([*map(entry_of, log), kept(wish)]))
            assert WANTED not in await roles_behind(owner, mallory, 2)


def test_at_v038_both_of_it_wins() -> None:
    asker, mallory = identity(1), identity(2)
    model = ReferenceGovernance(NETWORK, identity(3))
    assert model.take([FOUNDED], let_in([asker.device_id, mallory.device_id]))
    harmless, wish = (
        proposal(f"prop_00000000000000d{number}", variant, asker) for number, variant in enumerate((HARMLESS, WISH))
    )
    model.hear(harmless, asker.device_id)
    model.hear(ack(harmless, mallory), mallory.device_id)
    model.hear(ack(harmless, ALICE), ALICE.device_id)
    assert mallory.device_id in model.log[-1].signers, "W9"
    model.hear(wish, asker.device_id)
    model.hear(denial(wish, ALICE), ALICE.device_id)
    assert wish.proposal_id not in model.pending
    promoted = signed(RoleGrant(asker.device_id, "owner"), ALICE)
    model.hear(entries([*model.log, promoted]), ALICE.device_id)
    model.hear(entries([*model.log, kept(wish)]), mallory.device_id)
    assert model.roles[WANTED] == "owner", "64"


# ── false times ───────────────────────────────────────────────────────────────────────────────────────────────────────


def told_of(whom: str) -> tuple[Transition, Transition]:
    """What Alice signed of somebody: let in, and put out."""
    return signed(RoleGrant(whom, "member"), ALICE, at=NOW - 100), marked(Evict(whom), ALICE, at=NOW - 50)


def lies() -> tuple[Transition, ...]:
    """The same, with a time that would outlive the eviction, and with one that is older than the admit."""
    (admit, evict), (first, second) = told_of(RAISED), told_of(LOWERED)
    return later(admit, NOW + 3600), evict, first, later(second, NOW - 200)


async def test_who_shows_a_false_time_first_wins_until_the_honest_copy_comes_and_a_second_removal_counts_from_anybody(
    tmp_path: Path,
) -> None:
    """24.3 no. 42. v0.3.8 signs a second removal with the same bytes, and it has to be believed of a third party."""
    first = signed(Evict(TWICE), CAROL, at=NOW - 3000)
    before = (*let_in([TWICE]), first)
    carol = signed(RoleGrant(CAROL.device_id, "controller"), ALICE, at=NOW - 7000)
    with trio.fail_after(LIMIT_S):
        async with besieged(tmp_path, 1, lambda _: (carol,), before, ALICE) as (victim, (mallory, alice)):
            mallory.send(entries(members=lies()))
            roles = await roles_behind(victim, mallory, 1)
            assert roles[RAISED] == roles[LOWERED] == "member", "the lie holds while nobody else is heard"
            alice.send(entries(members=[*told_of(RAISED), *told_of(LOWERED)], vouched=True))
            mallory.send(entries(members=lies()))
            await victim.until_governed(
                NETWORK, "the honest times count", lambda told: {RAISED, LOWERED} <= set(told["evicted"])
            )
            mallory.send(entries(members=lies()))
            assert not {RAISED, LOWERED} & (await roles_behind(victim, mallory, 2)).keys()

            mallory.send(entries(members=[marked(RoleGrant(TWICE, "member"), ALICE, NOW - 2000)]))
            assert (await roles_behind(victim, mallory, 3))[TWICE] == "member"
            mallory.send(entries(members=[later(first, NOW - 1000)]))
            assert TWICE not in await roles_behind(victim, mallory, 4)


def test_at_v038_a_raised_admit_outlives_every_honest_copy() -> None:
    model = ReferenceGovernance(NETWORK, identity(3))
    model.take([FOUNDED], ())
    model.hear(entries(members=lies()), identity(2).device_id)
    model.hear(entries(members=told_of(RAISED)), ALICE.device_id)
    assert not model.is_evicted(RAISED)


async def test_two_peers_with_lying_clocks_keep_no_owner_from_putting_out(tmp_path: Path) -> None:
    """Nor from letting in, where a relay tells the time (24.3 no. 57)."""
    with trio.fail_after(LIMIT_S):
        async with besieged(tmp_path, 2, lambda me: (signed(RoleGrant(me, "owner"), ALICE, at=NOW - 8000),)) as (
            owner,
            peers,
        ):
            for number in range(5):
                for peer in peers:
                    lie = NOW * 1000 + YEARS_MS + number
                    peer.send(Ping(t=lie))
                    await peer.sees(Pong, lambda pong, lie=lie: pong.t == lie)  # type: ignore[misc]  # as above
            rows = [await owner.peer(NETWORK, peer.device_id) for peer in peers]
            assert all(row is not None and row["clock_skew_ms"] > YEARS_MS // 2 for row in rows)
            grant = {"op": "governance_propose_role_grant", "network": NETWORK, "target": OTHER, "role": "member"}
            assert (await owner.ask(**grant))["effective"]
            out = peers[0].device_id
            assert (await owner.ask("governance_propose_evict", network=NETWORK, target=out))["effective"]
            await owner.until_governed(NETWORK, "it is out", lambda told: out in told["evicted"])


# ── branches ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_three_owners_in_a_ring_move_nobody(tmp_path: Path) -> None:
    """Each removed the next one, and a peer shows one branch after the other: it stays, and asks (24.3 no. 46)."""
    ring = {ALICE: BOB, BOB: GRACE, GRACE: ALICE}
    seats = tuple(signed(RoleGrant(each.device_id, "owner"), ALICE, at=NOW - 8000) for each in (BOB, GRACE))
    tails = [signed(Evict(whom.device_id), who) for who, whom in ring.items()]
    with trio.fail_after(LIMIT_S):
        async with besieged(tmp_path, 1, lambda _: seats) as (victim, (mallory,)):
            heads = []
            for turn, tail in enumerate([*tails, *tails, *reversed(tails)]):
                mallory.send(entries([FOUNDED, *seats, tail]))
                await roles_behind(victim, mallory, turn)
                heads.append((await victim.ask("governance_state", network=NETWORK))["state"]["transitions"][-1])
            assert heads == [heads[0]] * len(heads)
            [question] = (await victim.ask("governance_pending", network=NETWORK))["rows"]
            assert question["sort"] == "branch"


def test_at_v038_two_owners_who_acted_apart_stay_apart() -> None:
    """W10; that ours come together is in tests/integration/governance/test_closed_network.py."""
    seats = (FOUNDED, signed(RoleGrant(BOB.device_id, "owner"), ALICE, at=NOW - 8000))
    grants = [signed(RoleGrant(whom, "controller"), who) for who, whom in ((ALICE, WANTED), (BOB, OTHER))]
    models = [ReferenceGovernance(NETWORK, who) for who in (ALICE, BOB)]
    for model, grant in zip(models, grants, strict=True):
        assert model.take((*seats, grant), ())
    for model, other in zip(models, reversed(models), strict=True):
        model.hear(entries(other.log), other.me.device_id)
    assert [model.log[-1] for model in models] == grants
