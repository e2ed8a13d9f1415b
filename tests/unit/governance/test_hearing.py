"""Entries in slices, what waits for a person, and what waits for its time."""

from __future__ import annotations

from random import Random

import msgspec
import pytest
from msgspec.structs import replace

from myownmesh.governance import hearing as module
from myownmesh.governance import questions as questions_module
from myownmesh.governance.adoption import accept_replay, hear_log
from myownmesh.governance.authoring import Refused, settle, settlement
from myownmesh.governance.book import Book
from myownmesh.governance.branches import Branches, Choice, choose
from myownmesh.governance.copies import Copy, Slot, slot_keys
from myownmesh.governance.hearing import accept_grant, dismiss, hear_again, hear_entries
from myownmesh.governance.marking import sign_marked
from myownmesh.governance.member_log import EMPTY as NO_MEMBERS
from myownmesh.governance.ratifying import ratify
from myownmesh.governance.records import SplitRecord
from myownmesh.governance.signatures import Checks
from myownmesh.governance.signed_bytes import signed_bytes
from myownmesh.governance.standing import BEFORE
from myownmesh.governance.verdicts import corrected
from myownmesh.governance.words import HEARSAY, OURSELVES, Speaker
from myownmesh.protocol.transitions import Evict, KindChange, RoleGrant, RoleRevoke, Transition, UnknownVariant
from support.governance import (
    ALICE,
    BOB,
    CAROL,
    CHECKS,
    DAVE,
    DEVICES,
    ERIN,
    FRANK,
    MALLORY,
    NETWORK,
    book_of,
    entry,
    log_of,
    sign,
)

NOW = 1_000_000
DAY = 24 * 3600
BASE = (entry(KindChange("closed"), ALICE), entry(RoleGrant(CAROL, "controller"), ALICE))
ADMIT, PUT_OUT = RoleGrant(DAVE, "member"), Evict(DAVE)


def founded(*more: Transition, me: str = FRANK) -> Book:
    return book_of((*BASE, *more), me, NOW)


def hears(book: Book, *entries: Transition) -> Book:
    return hear_entries(book, entries, HEARSAY, CHECKS, NOW, max_checks=99).book


# ── slices ────────────────────────────────────────────────────────────────────────────────────────────────────────────

MANY = [entry(RoleGrant(target, "member"), ALICE, at=at) for at, target in enumerate((BOB, DAVE, ERIN, MALLORY))]


def test_a_slice_makes_so_many_checks_and_leaves_the_rest() -> None:
    first = hear_entries(founded(), MANY, HEARSAY, Checks(NETWORK), NOW, max_checks=3)
    assert [each for each, _ in first.judged] == MANY[:3]
    assert first.rest == tuple(MANY[3:])
    rest = hear_entries(first.book, first.rest, HEARSAY, Checks(NETWORK), NOW, max_checks=3)
    assert rest.rest == ()
    assert rest.book == hears(founded(), *MANY)
    nothing = hear_entries(founded(), MANY, HEARSAY, Checks(NETWORK), NOW, max_checks=0)
    assert (nothing.judged, nothing.rest) == ((), tuple(MANY))


def test_a_slice_takes_so_many_entries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ENTRIES_PER_SLICE", 2)
    heard = hear_entries(founded(), MANY, HEARSAY, CHECKS, NOW, max_checks=99)
    assert heard.rest == tuple(MANY[2:])


def test_what_is_known_already_costs_no_verdict_and_no_check(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer about one new entry brings ten that stand on its leaf."""
    authority = Speaker(ALICE, vouched=True)
    book = hear_entries(founded(), MANY[1:], authority, CHECKS, NOW, max_checks=99).book
    book = hear_entries(book, MANY[:1], OURSELVES, CHECKS, NOW, max_checks=99).book

    def asked(*_: object, **__: object) -> None:
        raise AssertionError("nothing is to be looked at")

    monkeypatch.setattr(module, "judge", asked)
    checks = Checks(NETWORK)
    heard = hear_entries(book, MANY, authority, checks, NOW, max_checks=99)
    assert heard.book is book
    assert [judgement.outcome for _, judgement in heard.judged] == ["known"] * 4
    assert (checks.count, heard.changed) == (0, ())


def test_what_is_meant_for_good_is_no_surer_for_more_words() -> None:
    first = hear_entries(founded(), MANY, OURSELVES, CHECKS, NOW, max_checks=99).book
    then = hear_entries(first, MANY, Speaker(CAROL, vouched=True), CHECKS, NOW, max_checks=99).book
    other = hear_entries(founded(), MANY, Speaker(CAROL, vouched=True), CHECKS, NOW, max_checks=99).book
    assert then is first
    assert hear_entries(other, MANY, OURSELVES, CHECKS, NOW, max_checks=99).book == first


def test_a_slice_says_whose_verdict_changed_and_how_many_signatures_were_none() -> None:
    book = hears(founded(), entry(ADMIT, ALICE, at=10))
    forged = msgspec.structs.replace(entry(ADMIT, ALICE, at=10), variant=Evict(BOB))
    heard = hear_entries(
        book, [entry(PUT_OUT, ALICE, at=20), entry(ADMIT, CAROL, at=5), forged], HEARSAY, CHECKS, NOW, max_checks=99
    )
    assert heard.changed == (DAVE,)
    assert heard.failed == 1
    assert (
        hear_entries(heard.book, [entry(ADMIT, ALICE, at=10)], HEARSAY, CHECKS, NOW, max_checks=99).book is heard.book
    )


# ── what waits ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_waits_is_judged_again() -> None:
    early = entry(RoleGrant(BOB, "member"), ALICE, at=NOW + 2 * DAY)
    book = hears(founded(), early, entry(ADMIT, ERIN, at=10))
    assert book.role(BOB) is book.role(DAVE) is None
    assert hear_again(book, CHECKS, NOW, max_checks=99).book == book
    seated = hear_log(book, log_of([*BASE, entry(RoleGrant(ERIN, "controller"), ALICE)]), HEARSAY, NOW).book
    again = hear_again(seated, CHECKS, NOW + DAY, max_checks=99)
    assert again.changed == (DAVE, BOB)
    assert again.book.role(BOB) == again.book.role(DAVE) == "member"
    assert not again.book.aside.held
    assert not again.book.aside.strangers
    assert not again.rest


# ── questions about grants ────────────────────────────────────────────────────────────────────────────────────────────


def questioned() -> Book:
    """Dave was put out, and somebody shows his old admit with a new time."""
    book = hears(founded(), entry(ADMIT, ALICE, at=10), entry(PUT_OUT, ALICE, at=20))
    return hears(book, entry(ADMIT, ALICE, at=30))


def test_a_grant_that_may_be_old_is_shown_and_a_person_decides() -> None:
    book = questioned()
    (record,) = book.questions.shown(book.log)
    assert (record.proposer, record.variant, record.created_at) == (ALICE, ADMIT, 30)
    accepted = accept_grant(book, record.id, CHECKS, NOW)
    assert accepted.book.role(DAVE) == "member"
    assert accepted.book.members.entries() == [entry(ADMIT, ALICE, at=30)], "what else was heard is dropped"
    assert not accepted.book.questions.replays
    assert hears(accepted.book, entry(PUT_OUT, ALICE, at=20)).role(DAVE) == "member"
    with pytest.raises(ValueError, match="about the member log"):
        accept_replay(book, record.id, NOW)


def test_a_person_lifts_a_kept_removal() -> None:
    book = replace(questioned(), pin=questioned().pin.keeping({DAVE: 25, ERIN: 3}))
    (question,) = book.questions.replays
    accepted = accept_grant(book, question, CHECKS, NOW).book
    assert accepted.role(DAVE) == "member"
    assert accepted.pin.evicted == {ERIN: 3}


def test_a_question_that_was_dismissed_is_not_asked_again() -> None:
    book = questioned()
    (question,) = book.questions.replays
    book = dismiss(book, question)
    assert question not in book.questions
    assert hears(book, entry(ADMIT, ALICE, at=31)).questions == book.questions
    assert book.is_evicted(DAVE)


def test_questions_about_grants_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(questions_module, "MAX_REPLAYS", 2)
    book = founded()
    for target in (BOB, DAVE, ERIN):
        grant = RoleGrant(target, "member")
        book = hears(book, entry(grant, ALICE, at=1), entry(Evict(target), ALICE, at=2), entry(grant, ALICE, at=3))
    assert [replay.entry.variant for replay in book.questions.replays.values()] == [
        RoleGrant(DAVE, "member"),
        RoleGrant(ERIN, "member"),
    ]


# ── corners of single parts ───────────────────────────────────────────────────────────────────────────────────────────


def test_whom_signed_state_lets_in() -> None:
    book = hears(founded(), entry(ADMIT, ALICE), entry(Evict(ERIN), ALICE))
    assert [book.admits(device) for device in (ALICE, CAROL, DAVE, ERIN, MALLORY)] == [True, True, True, False, False]
    assert not Book(NETWORK, FRANK).admits(ALICE)


def test_announced_splits_are_listed_once() -> None:
    record = SplitRecord("n", 1, ALICE, ())
    book = founded().with_split(record)
    assert book.with_split(record) is book


def test_words_are_bounded() -> None:
    each = entry(ADMIT, ALICE)
    (key,) = slot_keys(each, frozenset({ALICE}))
    slot = Slot(key, (Copy(each),))
    for word in "gfedcba":
        slot = slot.with_copy(Copy(each, frozenset({word})), founded().standing, FRANK)
    assert len(slot.copies[0].words) == 4


def test_nothing_follows_from_what_nobody_understands() -> None:
    later = Transition(1, UnknownVariant("later", b"{}"), (ALICE,), ("?",))
    assert BEFORE.after(later, void=False) is BEFORE


def test_a_branch_that_was_decided_against_is_not_chosen_by_hash() -> None:
    two = entry(RoleGrant(BOB, "owner"), ALICE)
    tails = [entry(RoleGrant(DAVE, "controller"), ALICE), entry(RoleGrant(ERIN, "controller"), BOB)]
    logs = [log_of([*BASE, two, tail]) for tail in tails]
    held = founded(two).branch
    first = choose(held.with_log(logs[0], NOW), Branches().with_log(held, logs[1], NOW), NOW).log
    other = next(log for log in logs if log is not first)
    branches = Branches().with_log(held, first, NOW)
    assert choose(held.with_log(other, NOW), branches, NOW) == Choice(first)
    assert choose(held.with_log(other, NOW), branches.staying(first), NOW) == Choice(other)


def test_an_owner_settles_a_quarrel_between_controllers_for_everybody() -> None:
    base = (entry(RoleGrant(BOB, "controller"), ALICE),)
    one, other = entry(RoleRevoke(BOB), CAROL), entry(RoleRevoke(CAROL), BOB)
    books = {}
    for me in (ALICE, FRANK):
        book = hear_log(founded(*base, me=me), log_of([*BASE, *base, one]), HEARSAY, NOW).book
        books[me] = hear_log(book, log_of([*BASE, *base, other]), HEARSAY, NOW).book
    other_side = hear_log(founded(*base), log_of([*BASE, *base, other]), HEARSAY, NOW).book
    other_side = hear_log(other_side, log_of([*BASE, *base, one]), HEARSAY, NOW).book
    ((question, _),) = books[ALICE].questions.rivals.items()
    assert settlement(books[ALICE], question) == RoleRevoke(BOB)
    for book, text in ((books[FRANK], "only an owner"), (founded(me=ALICE), "proposal not found")):
        with pytest.raises(Refused, match=text):
            settlement(book, question)
    done = settle(books[ALICE], question, sign(ALICE, RoleRevoke(BOB)), NOW)
    assert not done.book.questions.rivals
    for book in (books[FRANK], other_side):
        after = hear_log(book, done.book.log, HEARSAY, NOW).book
        assert after.log.digest == done.book.log.digest
        assert not after.questions.rivals
        assert dict(after.standing.roles) == {ALICE: "owner", CAROL: "controller"}


def test_a_longer_log_of_one_s_own_branch_can_lose_against_a_known_one() -> None:
    """The held branch grows by somebody whom the other one puts out."""
    two = entry(RoleGrant(BOB, "owner"), ALICE)
    tail = entry(RoleGrant(DAVE, "controller"), ALICE)
    book = hear_log(founded(two), log_of([*BASE, two, tail]), HEARSAY, NOW).book
    rival = log_of([*BASE, two, entry(RoleRevoke(BOB), ALICE)])
    book = replace(book, branches=Branches().with_log(book.branch, rival, NOW).staying(rival))
    grown = hear_log(book, log_of([*BASE, two, tail, entry(RoleGrant(MALLORY, "owner"), BOB)]), HEARSAY, NOW)
    assert (grown.found, grown.book.standing.role(MALLORY)) == ("adopted", "owner"), "a person here stayed"
    free = replace(book, branches=replace(book.branches, stayed=()))
    switched = hear_log(free, log_of([*BASE, two, tail, entry(RoleGrant(MALLORY, "owner"), BOB)]), HEARSAY, NOW)
    assert (switched.found, switched.book.log) == ("switched", rival)
    assert ratify(switched.book, entry(RoleGrant(ERIN, "controller"), ALICE), NOW).standing.role(ERIN) == "controller"


# ── kept removals ─────────────────────────────────────────────────────────────────────────────────────────────────────


def demoted(book: Book) -> Book:
    """Carol, who put Dave out, has no seat any more."""
    log = log_of((*book.log.entries, entry(RoleRevoke(CAROL), ALICE)))
    return hear_log(book, log, OURSELVES, NOW).book


def vouched(book: Book, *entries: Transition) -> Book:
    return hear_entries(book, entries, Speaker(ALICE, vouched=True), CHECKS, NOW, max_checks=99).book


def by_carol(at: int) -> Transition:
    """Her removal of Dave as ours signs it, with a mark: once, at one time."""
    signature = sign_marked(DEVICES["carol"], signed_bytes(NETWORK, PUT_OUT), Random(1))
    return Transition(at, PUT_OUT, (CAROL,), (signature,))


@pytest.mark.unwatched
@pytest.mark.heavy
def test_a_removal_that_somebody_raised_is_kept_no_longer_than_what_is_sure_of_it() -> None:
    """24.3 no. 48. A device whose removal was kept with the time of a liar stayed out when it was let in again
    (simulator, seed 274001)."""
    book = demoted(hears(founded(), by_carol(9), by_carol(4000)))
    assert book.pin.evicted == {DAVE: 4000}
    assert vouched(book, entry(ADMIT, ALICE, at=100)).is_evicted(DAVE)
    for entries in ([by_carol(9)], [by_carol(9), entry(ADMIT, ALICE, at=8)]):
        known = vouched(book, *entries)
        assert known.is_evicted(DAVE), "it falls, and does not end"
    assert vouched(known, entry(ADMIT, ALICE, at=100)).role(DAVE) == "member"


@pytest.mark.unwatched
@pytest.mark.heavy
def test_a_kept_removal_stays_where_nothing_sure_takes_its_place() -> None:
    book = demoted(hears(founded(), by_carol(4000)))
    assert hears(book, by_carol(9)).pin.evicted == {DAVE: 4000}, "what is heard lowers nothing"
    other = vouched(book, entry(PUT_OUT, ALICE, at=9), entry(RoleGrant(BOB, "member"), ALICE))
    assert other.pin.evicted == {DAVE: 4000}, "another signature says nothing of this one"
    sure = demoted(vouched(founded(), by_carol(4000)))
    assert vouched(sure, by_carol(9)).pin.evicted == {DAVE: 4000}, "both were said"


@pytest.mark.heavy
def test_a_kept_removal_stays_where_its_copy_had_to_make_room() -> None:
    book = demoted(hears(founded(), by_carol(4000)))
    assert corrected(book.bench, NO_MEMBERS, [DAVE, ERIN]) == {DAVE: 4000}
