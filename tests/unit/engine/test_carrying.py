"""A file that a person takes in: judged like a peer's, on nobody's word, and told as one (spec 10 §2.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from myownmesh.engine.carrying import TakenIn
from myownmesh.engine.government import MAX_JOBS_OF_ONE
from myownmesh.governance import authoring
from myownmesh.governance.carried import Carried, carried, read_carried
from myownmesh.governance.intake import hear_record
from myownmesh.governance.records import Proposal
from myownmesh.governance.rules import Rules
from myownmesh.governance.signatures import Checks
from myownmesh.governance.signed_bytes import signed_bytes
from myownmesh.protocol import base32
from myownmesh.protocol.transitions import Evict, RoleGrant
from unit.engine.bench import NETWORK, Bench
from unit.engine.charters import FOUNDING, OWNER, STRANGER, THEN, book_of, closed, entry, evicted, grant, hints

if TYPE_CHECKING:
    from myownmesh.protocol.transitions import Transition

SECOND = grant(STRANGER.device_id, "controller")
ADMIT = RoleGrant(STRANGER.device_id, "member")


def file(*log: Transition, members: tuple[Transition, ...] = (), pending: tuple[Proposal, ...] = ()) -> Carried:
    return Carried("myownmesh-governance", 1, NETWORK, log, members, pending)


def takes_in(bench: Bench, brought: Carried) -> TakenIn:
    done: list[TakenIn] = []
    assert bench.engine.governor.take_in(brought, done.append, bench.now)
    bench.wait(0.2)
    [found] = done
    return found


def record(variant: Any, by: Any = STRANGER) -> Proposal:
    wish = entry(by, variant)
    return Proposal("prop_1", bench_now(), by.device_id, variant, wish.signers, wish.signatures, (), False)


def bench_now() -> int:
    return closed().now.wall_ms // 1000


def test_logs_of_a_file_are_verified_and_adopted() -> None:
    bench = closed()
    found = takes_in(bench, file(FOUNDING, SECOND, members=(grant(bench.peer_id), evicted(OWNER.device_id))))
    assert (found.log, found.new, found.refused, found.waiting, found.proposals) == ("adopted", 3, 0, 0, 0)
    assert bench.engine.governor.book.role(STRANGER.device_id) == "controller"
    assert "log_adopted" in hints(bench)
    assert any("a governance log of a file" in diag.message for diag in bench.diags)


def test_a_file_without_logs_changes_nothing_and_an_old_one_is_known() -> None:
    bench = closed()
    assert takes_in(bench, file()) == TakenIn("none")
    assert takes_in(bench, file(FOUNDING)).log == "known"


def test_what_a_peer_could_not_do_a_file_cannot() -> None:
    bench = closed()
    found = takes_in(bench, file(FOUNDING, grant(STRANGER.device_id, "owner", by=STRANGER)))
    assert (found.log, "GRANT-OWNER" in found.why) == ("refused", True)
    bench = closed(members=(grant(Bench("lower").peer_id), evicted(Bench("lower").peer_id, THEN + 10)))
    old = grant(bench.peer_id, at=THEN + 20)
    found = takes_in(bench, file(FOUNDING, members=(old, grant(STRANGER.device_id, by=STRANGER))))
    assert (found.waiting, found.new) == (2, 0), "the one asks a person, the other's signer is nobody"
    assert bench.engine.governor.book.is_evicted(bench.peer_id)


def test_a_proposal_of_a_file_waits_for_an_authority() -> None:
    bench = closed()
    wish = record(RoleGrant(bench.peer_id, "controller"))
    assert takes_in(bench, file(pending=(wish, wish))).proposals == 1
    assert takes_in(bench, file(pending=(wish,))).proposals == 0
    [kept] = bench.engine.governor.book.proposals.records.values()
    assert kept.proposer == STRANGER.device_id


def test_an_owner_without_a_network_signs_what_a_file_brings_it() -> None:
    """A member's file to the owner, and the owner's back: the way that docs/governance.md describes."""
    bench = closed(members=(grant(STRANGER.device_id),))
    governor, wish = bench.engine.governor, Evict(STRANGER.device_id)
    wished = base32.encode(bench.us.sign(signed_bytes(NETWORK, wish)))
    governor.act(authoring.propose(governor.book, wish, wished, "prop_1", bench_now()), bench.now)
    assert not governor.book.is_evicted(STRANGER.device_id)

    [sent] = read_carried(carried(governor.book), NETWORK).pending
    owner = book_of(OWNER.device_id, (), (grant(bench.us.device_id), grant(STRANGER.device_id)))
    owner = hear_record(owner, sent, Checks(NETWORK), bench_now()).book
    signature = base32.encode(OWNER.sign(authoring.draft_signature(owner, sent.id).payload))
    owner = authoring.sign(owner, sent.id, signature, bench_now(), "prop_2").book

    assert takes_in(bench, read_carried(carried(owner), NETWORK)).new == 1
    assert governor.book.is_evicted(STRANGER.device_id)
    assert not governor.book.proposals.records, "it is decided"


def test_a_proposal_that_a_switch_brings_into_force_acts() -> None:
    bench = closed()
    government = bench.engine.governor
    government.take(replace(government.book, rules=Rules(ratify_everything=True)), bench.now)
    found = takes_in(bench, file(pending=(record(Evict(bench.peer_id), OWNER),)))
    assert found.proposals == 0
    assert government.book.is_evicted(bench.peer_id)


def test_a_file_of_forgeries_is_looked_at_no_longer() -> None:
    bench = closed()
    forged = [
        Proposal(f"prop_{n}", bench_now(), STRANGER.device_id, ADMIT, (STRANGER.device_id,), ("a" * 103,), (), False)
        for n in range(60)
    ]
    assert takes_in(bench, file(pending=tuple(forged))).proposals == 0
    found = takes_in(bench, file(FOUNDING, SECOND, members=(grant(bench.peer_id),)))
    assert (found.log, found.waiting, found.new) == ("waits", 1, 0)


@pytest.mark.parametrize("number", [MAX_JOBS_OF_ONE + 5])
def test_more_files_than_can_be_verified_are_told_to_come_again(number: int) -> None:
    bench = closed()
    some = file(pending=(record(ADMIT),) * 2)
    taken = [bench.engine.governor.take_in(some, lambda _: None, bench.now) for _ in range(number)]
    assert taken == [True] * MAX_JOBS_OF_ONE + [False] * (number - MAX_JOBS_OF_ONE)
