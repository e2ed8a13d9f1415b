"""Books on the disk: what is written is read back, and what is lost or damaged gives nobody more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from myownmesh.governance import saved as module
from myownmesh.governance.adoption import hear_log
from myownmesh.governance.authoring import propose, withdraw
from myownmesh.governance.book import Book
from myownmesh.governance.hearing import hear_entries
from myownmesh.governance.intake import hear_propose
from myownmesh.governance.pins import read_pin
from myownmesh.governance.questions import Owed, Questions
from myownmesh.governance.saved import load_book, pin_of, state_of
from myownmesh.governance.signatures import Checks, finish
from myownmesh.governance.state_file import read_state, write_state
from myownmesh.governance.words import HEARSAY, OURSELVES, Speaker
from myownmesh.protocol.frames import NetworkStatePropose
from myownmesh.protocol.strict_json import dumps
from myownmesh.protocol.transitions import (
    Evict,
    KindChange,
    RoleGrant,
    RoleRevoke,
    Split,
    Transition,
    UnknownVariant,
)
from support.examples import examples
from support.governance import (
    ALICE,
    BOB,
    CAROL,
    CHECKS,
    DAVE,
    ERIN,
    FRANK,
    MALLORY,
    NETWORK,
    book_of,
    entry,
    log_of,
    sign,
)
from support.vectors import load

if TYPE_CHECKING:
    from myownmesh.governance.pins import Pin
    from myownmesh.governance.saved import Loaded
    from myownmesh.governance.state_file import StateFile
    from myownmesh.protocol.frames import NetworkKind

NOW = 1_000_000
CLOSE, PROMOTE = entry(KindChange("closed"), ALICE), entry(RoleGrant(CAROL, "controller"), ALICE)
BOB_TOO = entry(RoleGrant(BOB, "owner"), ALICE)
ADMIT, PUT_OUT = RoleGrant(DAVE, "member"), Evict(DAVE)


def founded(*entries: Transition, me: str = FRANK) -> Book:
    return book_of(entries or (CLOSE, PROMOTE, BOB_TOO), me, NOW)


def hears(book: Book, *entries: Transition, speaker: Speaker = HEARSAY) -> Book:
    return hear_entries(book, entries, speaker, CHECKS, NOW, max_checks=99).book


def load_again(state: StateFile | None, pin: Pin | None, configured: NetworkKind = "open", me: str = FRANK) -> Loaded:
    return finish(load_book(NETWORK, me, configured, state, pin, CHECKS, NOW))


def saved(book: Book) -> tuple[StateFile, Pin]:
    """Through the text of both files."""
    state = read_state(b"".join(write_state(state_of(book))))
    return state, read_pin(bytes(dumps(pin_of(book).to_json())), NETWORK)


def full_book() -> Book:
    """A book in which every part of it holds something."""
    book = hears(
        founded(), entry(ADMIT, ALICE, at=10), entry(PUT_OUT, CAROL, at=20), entry(Evict(MALLORY), ALICE, CAROL)
    )
    book = hears(book, entry(ADMIT, ALICE, at=30), speaker=Speaker(CAROL, vouched=True))
    book = hears(book, Transition(3, UnknownVariant("later", b'{"kind":"later","x":1}'), (ALICE,), ("?",)))
    rival = log_of([*book.log.entries, entry(RoleRevoke(ALICE), BOB)])
    mine = log_of([*book.log.entries, entry(RoleRevoke(BOB), ALICE)])
    book = hear_log(hear_log(book, mine, HEARSAY, NOW).book, rival, HEARSAY, NOW).book
    for proposal_id, target in (("prop_1", DAVE), ("prop_2", BOB)):
        variant = RoleGrant(target, "controller")
        frame = NetworkStatePropose(proposal_id, variant, ERIN, NOW, sign(ERIN, variant))
        book = hear_propose(book, frame, ERIN, CHECKS, NOW).book
    record = book.proposals.records["prop_2"]
    spent = withdraw(replace(book, me=ERIN), record.id, "?", NOW).book
    questions = spent.questions.owing(NETWORK, Owed(Evict(ERIN), 5)).owing(NETWORK, Owed(RoleRevoke(BOB)))
    pin = book.pin.keeping({ERIN: 5}).refusing(MALLORY)
    branches = replace(spent.branches, unmerged=frozenset({spent.branches.logs[0].digest}))
    return replace(spent, me=FRANK, pin=pin, questions=questions, branches=branches, heard={ALICE: 7})


def without_questions(book: Book) -> Book:
    """Questions are asked anew: whatever gave rise to them is heard again. What is owed nobody says again."""
    return replace(book, questions=Questions(owed=book.questions.owed, dismissed=book.questions.dismissed))


# ── round trips ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_book_comes_back_as_it_was() -> None:
    book = full_book()
    state, pin = saved(book)
    loaded = load_again(state, pin)
    assert not loaded.faults
    assert without_questions(loaded.book) == replace(without_questions(book), pin=pin)
    assert msgspec.structs.replace(pin, spent=()) == book.pin
    assert b"".join(write_state(state_of(loaded.book))) == b"".join(write_state(state_of(book)))


def test_that_a_removal_had_no_room_is_known_after_a_restart_and_without_the_state() -> None:
    book = hears(founded(), entry(ADMIT, ALICE, at=10))
    book = replace(book, members=evolve(book.members, left_out=20))
    for state in (saved(book)[0], None):
        again = load_again(state, saved(book)[1]).book
        assert again.members.left_out == 20
        assert (again.is_evicted(ERIN), again.is_evicted(DAVE)) == (True, state is None)


def test_digests_that_are_none_name_no_branch() -> None:
    state, pin = saved(full_book())
    assert state.ours is not None
    torn = msgspec.structs.replace(state, ours=msgspec.structs.replace(state.ours, stayed=("x",), unmerged=("0",)))
    branches = load_again(torn, pin).book.branches
    assert (branches.stayed, branches.left) == ((), ())


ENTRIES = st.builds(
    entry,
    st.sampled_from([ADMIT, PUT_OUT, Evict(ERIN), RoleGrant(ERIN, "member")]),
    st.sampled_from([ALICE, BOB, CAROL]),
    at=st.integers(0, 20),
)
SPEAKERS = st.sampled_from([HEARSAY, OURSELVES, Speaker(CAROL, vouched=True)])


@pytest.mark.heavy
@settings(max_examples=examples(60), deadline=None)
@given(st.lists(st.tuples(ENTRIES, SPEAKERS), max_size=12), st.sampled_from([FRANK, DAVE]))
def test_every_member_log_comes_back_as_it_was(heard: list[tuple[Transition, Speaker]], me: str) -> None:
    book = founded(me=me)
    for each, speaker in heard:
        book = hears(book, each, speaker=speaker)
    state, pin = saved(book)
    assert load_again(state, pin, me=me).book.members == book.members


# ── files of v0.3.8 ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_state_of_a_running_daemon_is_taken_and_pins_its_founder() -> None:
    text = {case["id"]: case for case in load("governance", "captured")}["fleet"]["state_file_bob"]
    state = read_state(text.encode())
    loaded = load_again(state, None)
    assert not loaded.faults
    assert (loaded.book.kind, loaded.book.pin.founder) == ("closed", ALICE)
    assert loaded.book.bench.roles() == dict(state.roles)
    again = state_of(loaded.book)
    assert (again.transitions, again.member_log, again.roles) == (state.transitions, state.member_log, state.roles)
    assert (again.splits, again.topology, again.kind) == (state.splits, state.topology, state.kind)


def test_a_downgrade_in_between_leaves_what_was_sure_only_heard() -> None:
    book = full_book()
    state, pin = saved(book)
    assert book.role(DAVE) == "member", "a vouched re-admission"
    loaded = load_again(msgspec.structs.replace(state, ours=None), pin).book
    assert not any(copy.words for copy in loaded.members.copies())
    assert set(loaded.bench.removed()) >= set(book.bench.removed())
    assert set(loaded.memory.spent) == set(book.memory.spent)
    assert all(loaded.memory.is_spent(digest) for digest in book.memory.spent)
    first_time = load_again(msgspec.structs.replace(state, ours=None), None).book
    assert first_time.role(DAVE) == "member", "a device that comes from v0.3.8 keeps what it believed"


def test_what_nearly_all_copies_have_is_said_once_and_who_lacks_it_by_name() -> None:
    admits = [entry(RoleGrant(target, "member"), ALICE, at=at) for at, target in enumerate((BOB, DAVE, ERIN), 10)]
    book = book_of([entry(KindChange("closed"), ALICE)], FRANK, NOW)
    book = hear_entries(book, admits, OURSELVES, CHECKS, NOW, max_checks=9).book
    state, pin = saved(book)
    assert state.ours is not None
    assert (state.ours.sure, state.ours.sure_but) == ({}, {"*": ()})
    assert load_again(state, pin).book.members == book.members
    late = entry(RoleGrant(MALLORY, "member"), ALICE, at=99)
    book = hear_entries(book, [late], HEARSAY, CHECKS, NOW, max_checks=9).book
    state, pin = saved(book)
    assert state.ours is not None
    assert [len(digests) for digests in state.ours.sure_but.values()] == [1]
    assert load_again(state, pin).book.members == book.members


def test_what_another_release_added_to_the_log_is_not_taken_for_sure() -> None:
    """A release of ours that does not know the member keeps it, and writes a log of its own beside it."""
    admits = [entry(RoleGrant(target, "member"), ALICE, at=at) for at, target in enumerate((BOB, DAVE, ERIN), 10)]
    book = book_of([entry(KindChange("closed"), ALICE)], FRANK, NOW)
    book = hear_entries(book, admits, OURSELVES, CHECKS, NOW, max_checks=9).book
    state, pin = saved(book)
    added = entry(RoleGrant(MALLORY, "member"), ALICE, at=99)
    other = msgspec.structs.replace(state, member_log=(*state.member_log, added))
    loaded = load_again(other, pin).book
    assert loaded.members.count == 4
    assert not any(copy.words for copy in loaded.members.copies())


# ── damage and loss ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_lost_state_leaves_the_network_closed_and_removals_in_force() -> None:
    book = full_book()
    loaded = load_again(None, pin_of(book))
    assert (loaded.book.kind, loaded.book.is_founded, loaded.book.lost) == ("closed", False, len(book.log))
    assert loaded.book.is_evicted(ERIN)
    back = hear_log(loaded.book, book.log, HEARSAY, NOW)
    assert back.found == "adopted"
    assert not back.book.lost > len(back.book.log)


@pytest.mark.parametrize("configured", ["open", "closed", "silent"])
def test_without_any_file_the_configuration_decides(configured: NetworkKind) -> None:
    loaded = load_again(None, None, configured)
    assert (loaded.book.kind, loaded.book.lost) == (configured, 0)


@pytest.mark.parametrize("stored", ["closed", "silent"])
def test_an_unfounded_network_keeps_the_kind_that_it_was_saved_with(stored: NetworkKind) -> None:
    state = state_of(Book(NETWORK, FRANK, configured=stored))
    assert load_again(state, None, "open").book.kind == stored
    assert load_again(state_of(Book(NETWORK, FRANK)), None, "closed").book.kind == "closed"


def test_a_log_that_does_not_hold_is_not_taken() -> None:
    state, pin = saved(founded())
    forged = msgspec.structs.replace(entry(RoleGrant(MALLORY, "owner"), ALICE), variant=RoleGrant(ERIN, "owner"))
    loaded = load_again(msgspec.structs.replace(state, transitions=(*state.transitions, forged)), pin)
    assert loaded.faults == ("entry 3 of the governance log: SIG-INVALID",)
    assert (loaded.book.kind, loaded.book.is_founded, loaded.book.lost) == ("closed", False, 3)


def test_a_log_of_another_founder_is_not_taken() -> None:
    state, _ = saved(founded(entry(KindChange("closed"), MALLORY)))
    loaded = load_again(state, pin_of(founded()))
    assert loaded.faults == ("the governance log has another founder than the one that is pinned",)
    assert not loaded.book.is_founded


def test_an_older_state_beside_a_newer_pin_authors_nothing() -> None:
    newer = founded()
    state, _ = saved(founded(CLOSE, PROMOTE))
    loaded = load_again(state, pin_of(newer)).book
    assert (len(loaded.log), loaded.lost, loaded.pin.entries) == (2, 3, 3)


def test_what_the_file_claims_is_checked() -> None:
    """Roles, member entries, records and branches that nobody signed are not taken."""
    state, pin = saved(full_book())
    forged = msgspec.structs.replace(entry(ADMIT, ALICE, at=99), variant=RoleGrant(MALLORY, "member"))
    assert state.ours is not None
    spoiled = msgspec.structs.replace(
        state,
        roles={MALLORY: "owner"},
        member_log=(forged, entry(ADMIT, MALLORY), entry(Split("n", ()), ALICE)),
        pending=tuple(msgspec.structs.replace(record, variant=Evict(ALICE)) for record in state.pending),
        ours=msgspec.structs.replace(
            state.ours,
            branches=tuple(msgspec.structs.replace(row, entries=(*row.entries, forged)) for row in state.ours.branches),
            since=(),
            seen=tuple(msgspec.structs.replace(row, digest="?") for row in state.ours.seen),
            contents=tuple(msgspec.structs.replace(row, digest="?") for row in state.ours.contents),
        ),
    )
    book = load_again(spoiled, pin).book
    assert MALLORY not in book.standing.roles
    assert not book.members.targets
    assert not book.proposals.records
    assert not book.branches.others
    assert book.branch.since == (NOW,) * len(book.log)


def test_large_logs_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHECKS_PER_SLICE", 1)
    state, pin = saved(full_book())
    pauses = sum(1 for _ in load_book(NETWORK, FRANK, "open", state, pin, Checks(NETWORK), NOW))
    assert pauses >= len(state.member_log) - 1


def test_the_pin_knows_that_this_key_signed() -> None:
    book = founded(me=ALICE)
    done = propose(book, ADMIT, sign(ALICE, ADMIT), "prop_1", NOW)
    assert pin_of(done.book).signed
    assert read_pin(bytes(dumps(pin_of(done.book).to_json())), NETWORK) == pin_of(done.book)


def test_an_own_founding_comes_back(seeded: Any) -> None:
    done = propose(Book(NETWORK, ALICE), KindChange("closed"), sign(ALICE, KindChange("closed")), "prop_1", NOW)
    state, pin = saved(done.book)
    assert (pin.founder, pin.entries, pin.kind) == (ALICE, 1, "closed")
    assert load_again(state, pin, me=ALICE).book == done.book
