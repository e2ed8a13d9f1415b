"""Logs and proofs of peers: what is taken, what is charged to them, what is looked at later (02 §7, §8, §24.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msgspec import UNSET

from myownmesh.engine import government as government_module
from myownmesh.governance.hearing import ENTRIES_PER_SLICE
from myownmesh.governance.signatures import CHECKS_PER_SLICE, FAILED_CHECKS
from myownmesh.governance.sync import FEATURE, log_digest
from myownmesh.identity import Identity
from myownmesh.protocol import base32
from myownmesh.protocol.frames import FEATURES, Approve, Deny, NetworkState, RosterEntries, RosterRequest
from myownmesh.protocol.ids import device_suffix
from myownmesh.protocol.transitions import Evict, RoleGrant, RoleRevoke, Transition
from unit.engine.bench import WALL_MS, Bench
from unit.engine.charters import FOUNDING, OWNER, STRANGER, THEN, closed, entry, evicted, grant, hints, of_kind

if TYPE_CHECKING:
    from collections.abc import Sequence

SECOND = Identity.from_seed(bytes([5]) * 32, "second owner")
THEM = Bench("lower").peer_id
BASE = (grant(SECOND.device_id, "owner"),)
PROMOTED = grant(STRANGER.device_id, "controller")
DAY_S = 24 * 3600


def linked(log: tuple[Transition, ...] = (), *, features: tuple[str, ...] = FEATURES) -> Bench:
    """With a member that talks to us."""
    bench = closed(log=log, members=(grant(THEM),))
    bench.up_to("handshaking")
    bench.hello(features=features)
    bench.proof()
    bench.frame(Approve())
    bench.wait(0.1)
    bench.frames.clear()
    assert bench.status == "active"
    return bench


def says(bench: Bench, *log: Transition, members: Sequence[Transition] = ()) -> None:
    bench.frame(RosterEntries((), (FOUNDING, *log) if log else (), tuple(members)))


def held(bench: Bench) -> tuple[Transition, ...]:
    return bench.engine.governor.book.log.entries[1:]


def devices(count: int) -> list[str]:
    return [Identity.from_seed(bytes([number]) + bytes(31)).device_id for number in range(count)]


def junk(count: int) -> tuple[Transition, ...]:
    """Each with a signature that is none."""
    wanted = RoleGrant(STRANGER.device_id, "member")
    bad = [base32.encode(number.to_bytes(64, "big")) for number in range(1, count + 1)]
    return tuple(Transition(THEN, wanted, (OWNER.device_id,), (text,)) for text in bad)


def test_a_log_that_holds_is_taken_and_said() -> None:
    bench = linked()
    says(bench, PROMOTED)
    assert held(bench) == (PROMOTED,)
    [told] = [diag.detail for diag in bench.diags if "log_adopted" in str(diag.detail)]
    assert told == {
        "hint": "log_adopted",
        "network": "home",
        "peer": THEM,
        "reason": "",
        "entries": 2,
        "entry": f"makes {STRANGER.device_id[:8]}…-{device_suffix(STRANGER.device_id)} a controller",
        "signers": [OWNER.device_id],
        "at": THEN,
        "target": STRANGER.device_id,
    }
    seen = [(each.log, each.through, each.outcome) for each in bench.engine.governor.take_audit()]
    assert ("governance", THEM, "adopted") in seen
    assert bench.engine.governor.take_audit() == (), "each is handed over once"


def test_a_log_that_is_known_is_not_worth_a_word() -> None:
    bench = linked((PROMOTED,))
    before = hints(bench)
    bench.frame(RosterEntries((), (FOUNDING,)))
    assert (held(bench), hints(bench)) == ((PROMOTED,), before)


def test_a_log_with_a_signature_that_is_none_is_refused_and_said() -> None:
    bench = linked()
    [other] = entry(OWNER, Evict(THEM)).signatures
    says(bench, Transition(THEN, PROMOTED.variant, (OWNER.device_id,), (other,)))
    assert held(bench) == ()
    [told] = [diag.detail for diag in bench.diags if "log_refused" in str(diag.detail)]
    assert told == {"hint": "log_refused", "network": "home", "peer": THEM, "reason": "SIG-INVALID"}


def test_nothing_that_is_signed_is_looked_at_of_whoever_showed_too_much_that_is_not() -> None:
    bench = linked()
    says(bench, members=junk(FAILED_CHECKS))
    bench.wait(0.5)
    says(bench, PROMOTED)
    assert held(bench) == ()
    bench.wait(1.0)
    says(bench, PROMOTED)
    assert held(bench) == (PROMOTED,), "one is forgiven every second"


def test_a_proof_of_whoever_showed_too_much_that_is_none_ends_its_link_only() -> None:
    bench = linked()
    says(bench, members=junk(FAILED_CHECKS))
    bench.wait(0.5)
    bench.frame(Deny("evicted", (FOUNDING,), (evicted(bench.us.device_id),)))
    assert not bench.has_entry
    assert not bench.engine.governor.is_down


def test_a_proof_with_a_signature_that_is_none_proves_nothing() -> None:
    bench = linked()
    us = bench.us.device_id
    forged = Transition(THEN + 1, Evict(us), (OWNER.device_id,), evicted(THEM).signatures)
    bench.frame(Deny("evicted", (FOUNDING,), (forged,)))
    bench.wait(0.1)
    assert not bench.engine.governor.is_down
    assert bench.engine.governor.book.role(us) == "member"


def test_another_log_of_the_same_length_is_asked_for_where_a_peer_of_ours_holds_it() -> None:
    bench = linked((PROMOTED,), features=(*FEATURES, FEATURE))
    book = bench.engine.governor.book
    root = bench.engine.roster.membership_root()

    def told(digest: str, count: int = 2) -> int:
        bench.wait(3.0)
        bench.frames.clear()
        bench.frame(NetworkState("closed", count, book.members.count, root, digest))
        return len(of_kind(bench, RosterRequest))

    assert told(log_digest(book.log)) == 0, "the same"
    assert told(log_digest(book.log.until(1)), 1) == 0, "the beginning of ours"
    assert told("x" * 60_000) == 0
    assert told("a" * 26) == 1
    assert told("a" * 26) == 0, "nothing has changed since"
    assert told("b" * 26) == 1


def test_a_peer_of_ours_is_not_asked_after_a_change_of_branches() -> None:
    """It finds out by itself."""
    bench = linked((*BASE, entry(SECOND, PROMOTED.variant)), features=(*FEATURES, FEATURE))
    says(bench, *BASE, entry(OWNER, RoleRevoke(SECOND.device_id)))
    assert "log_switched" in hints(bench)
    bench.wait(3.0)
    assert not of_kind(bench, RosterRequest)


def test_which_log_it_is_is_told_to_peers_of_ours_only() -> None:
    for features, digests in ((FEATURES, {UNSET}), ((*FEATURES, FEATURE), {None})):
        bench = linked(features=features)
        says(bench, PROMOTED)
        bench.wait(2.0)
        told = {state.log_digest for state in of_kind(bench, NetworkState)}
        assert told == ({log_digest(bench.engine.governor.book.log)} if None in digests else digests)


def test_who_runs_v038_and_holds_a_branch_that_does_not_count_is_named() -> None:
    mine = (*BASE, entry(OWNER, RoleRevoke(SECOND.device_id)))
    bench = linked(mine)
    says(bench, *mine[:1])
    assert bench.engine.governor.left_behind == frozenset()
    says(bench, *BASE, entry(SECOND, PROMOTED.variant))
    assert held(bench) == mine
    assert bench.engine.governor.left_behind == {THEM}
    says(bench, *BASE, entry(SECOND, PROMOTED.variant))
    [told] = [diag.detail for diag in bench.diags if "left_behind" in str(diag.detail)]
    assert told == {"hint": "left_behind", "network": "home", "peers": [THEM]}


def test_who_runs_v038_and_holds_a_log_that_ours_refuse_is_named() -> None:
    """Simulator, seed 264002: a controller lowers an owner, which v0.3.8 takes and no device of ours does."""
    mine = (*BASE, PROMOTED)
    bench = linked(mine)
    says(bench, *mine, entry(STRANGER, RoleGrant(SECOND.device_id, "controller")))
    assert held(bench) == mine
    assert bench.engine.governor.left_behind == {THEM}
    says(bench, *mine)
    assert bench.engine.governor.left_behind == frozenset(), "what it shows last counts"


def test_the_branch_that_was_left_waits_until_it_is_looked_after() -> None:
    mine = (*BASE, entry(SECOND, PROMOTED.variant))
    better = (*BASE, entry(OWNER, RoleRevoke(SECOND.device_id)))
    bench = linked(mine)
    assert bench.engine.governor.book.branches.left == ()
    says(bench, *better)
    assert held(bench) == better
    assert "log_switched" in hints(bench)
    bench.wait(3.0)
    assert of_kind(bench, RosterRequest), "whoever runs v0.3.8 may hold what was left"
    [left] = bench.engine.governor.book.branches.left
    assert left.entries[1:] == mine
    bench.engine.governor.looked_after(bench.now, left)
    assert bench.engine.governor.book.branches.left == ()


def test_a_fork_is_said_also_where_the_other_branch_does_not_count() -> None:
    mine = (*BASE, entry(OWNER, RoleRevoke(SECOND.device_id)))
    bench = linked(mine)
    says(bench, *BASE, entry(SECOND, PROMOTED.variant))
    assert held(bench) == mine
    [told] = [diag.detail or {} for diag in bench.diags if "log_forked" in str(diag.detail)]
    assert (told["peer"], told["reason"]) == (THEM, "RIVAL")
    says(bench, *BASE, entry(SECOND, PROMOTED.variant))
    assert hints(bench).count("log_forked") == 1, "once for each branch"


def test_who_comes_and_goes_by_an_entry_is_said_with_entry_peer_and_reason() -> None:
    bench = linked()
    says(bench, members=[grant(STRANGER.device_id), evicted(STRANGER.device_id, THEN + 5)])
    says(bench, members=[grant(STRANGER.device_id)])
    told = [diag.detail or {} for diag in bench.diags if (diag.detail or {}).get("hint") == "entry_counted"]
    assert [(each["peer"], each["reason"], each["target"], each["signers"]) for each in told] == [
        (THEM, "counted", STRANGER.device_id, [OWNER.device_id])
    ] * 2
    assert str(told[1]["entry"]).startswith("puts ")


@pytest.mark.parametrize("features", [FEATURES, (*FEATURES, FEATURE)])
def test_a_peer_of_ours_hears_what_refutes_its_log(features: tuple[str, ...]) -> None:
    bench = linked((*BASE, entry(OWNER, RoleRevoke(SECOND.device_id))), features=features)
    says(bench, *BASE, entry(SECOND, PROMOTED.variant))
    answers = [frame.transitions[1:] for frame in of_kind(bench, RosterEntries)]
    assert answers == ([held(bench)] if FEATURE in features else []), "v0.3.8 would not take it"
    assert len(held(bench)) == 2


def test_what_waited_for_its_signer_is_judged_in_slices() -> None:
    bench = linked()
    admits = [grant(device, by=STRANGER) for device in devices(60)]
    says(bench, members=admits)
    bench.wait(0.1)
    book = bench.engine.governor.book
    assert not any(book.role(device) for device in devices(60))
    says(bench, PROMOTED)
    book = bench.engine.governor.book
    assert sum(book.role(device) == "member" for device in devices(60)) == CHECKS_PER_SLICE, "other work has its turn"
    bench.wait(0.1)
    book = bench.engine.governor.book
    assert all(book.role(device) == "member" for device in devices(60))


def test_more_than_a_slice_takes_goes_on_waiting_and_keeps_no_other_work_from_its_turn() -> None:
    bench = linked()
    early = [grant(device, at=WALL_MS // 1000 + 2 * DAY_S) for device in devices(2 * ENTRIES_PER_SLICE)]
    for start in range(0, len(early), ENTRIES_PER_SLICE):
        says(bench, members=early[start : start + ENTRIES_PER_SLICE])
        bench.wait(0.1)
    assert len(bench.engine.governor.book.aside.held) == len(early)
    says(bench, PROMOTED)  # what waits is judged again when a log has grown
    says(bench, members=[grant(SECOND.device_id)])
    bench.wait(0.1)
    assert bench.engine.governor.book.role(SECOND.device_id) == "member"
    bench.wait(61.0)  # and every minute, in the queue of this device's own answers
    assert not bench.engine.core.government.has_jobs


def test_a_grant_from_the_future_is_looked_at_again_when_its_time_has_come() -> None:
    bench = linked()
    early = grant(STRANGER.device_id, at=WALL_MS // 1000 + DAY_S + 50)
    says(bench, members=[early])
    assert "entry_held" in hints(bench)
    bench.wait(40.0)
    assert bench.engine.governor.book.role(STRANGER.device_id) is None
    bench.wait(30.0)
    assert bench.engine.governor.book.role(STRANGER.device_id) == "member"


def test_an_answer_that_finds_no_room_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(government_module, "MAX_JOBS_OF_ONE", 1)
    bench = linked()
    bench.wait(3.0)
    bench.frames.clear()
    says(bench, members=[grant(device) for device in devices(60)])
    says(bench, PROMOTED)
    bench.wait(1.0)
    assert (held(bench), of_kind(bench, RosterRequest)) == ((), [])
    bench.wait(1.5)
    assert len(of_kind(bench, RosterRequest)) == 1
    says(bench, PROMOTED)
    assert held(bench) == (PROMOTED,)
