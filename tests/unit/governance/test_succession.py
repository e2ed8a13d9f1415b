"""What an author's fall leaves, and who signs it anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

from myownmesh.governance.adoption import hear_log
from myownmesh.governance.hearing import dismiss, hear_entries
from myownmesh.governance.succession import Anew, Keep, kept_removals, legacy, orphans, sign_anew
from myownmesh.governance.words import HEARSAY, OURSELVES
from myownmesh.protocol.transitions import Evict, KindChange, RoleGrant, RoleRevoke
from support.governance import (
    ALICE,
    BOB,
    CAROL,
    CHECKS,
    DAVE,
    ERIN,
    FRANK,
    MALLORY,
    book_of,
    entry,
    log_of,
    sign,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from myownmesh.governance.book import Book
    from myownmesh.protocol.transitions import Transition

BASE = (entry(KindChange("closed"), ALICE), entry(RoleGrant(CAROL, "controller"), ALICE))
DEMOTED = (*BASE, entry(RoleRevoke(CAROL), ALICE))


def holding(log: Sequence[Transition], me: str = ALICE) -> Book:
    return book_of(log, me)


def hears(book: Book, *entries: Transition) -> Book:
    return hear_entries(book, entries, HEARSAY, CHECKS, 1000, max_checks=99).book


def demoted(book: Book) -> Book:
    return hear_log(book, log_of(DEMOTED), OURSELVES, 0).book


LOG = (
    entry(RoleGrant(DAVE, "member"), CAROL, at=10),
    entry(Evict(ERIN), CAROL, at=20),
    entry(RoleGrant(BOB, "member"), CAROL, at=30),
    entry(RoleGrant(BOB, "member"), ALICE, at=31),
    entry(Evict(MALLORY), CAROL, at=40),
    entry(Evict(MALLORY), ALICE, at=39),
    entry(RoleGrant(CAROL, "member"), CAROL, at=5),
)


def test_tombstones_come_first_and_only_what_would_fall() -> None:
    book = hears(holding(BASE), *LOG)
    anew = legacy(book, CAROL)
    assert anew[0] == Anew(Evict(ERIN), 20)
    assert set(anew[1:]) == {Anew(RoleGrant(DAVE, "member"), 10), Anew(RoleGrant(CAROL, "member"), 5)}
    assert legacy(book, ALICE) == ()


def test_what_was_signed_anew_outlives_its_author_with_its_old_time() -> None:
    book = hears(holding(BASE), *LOG)
    before = {device: book.bench.verdict(device).membership for device in book.members.targets}
    for anew in legacy(book, CAROL):
        book = sign_anew(book, anew, sign(ALICE, anew.variant))
    after = demoted(book)
    assert {device: after.bench.verdict(device).membership for device in before} == before
    stranger = hears(holding(DEMOTED, FRANK), *book.members.entries())
    assert stranger.is_evicted(ERIN), "also for a device that never saw the author seated"
    assert stranger.role(DAVE) == "member"
    again = hears(stranger, entry(RoleGrant(ERIN, "member"), ALICE, at=21))
    assert again.role(ERIN) == "member", "a re-admission that was signed before is not undone"


def test_a_person_chooses_which_admits_are_signed_anew() -> None:
    anew = legacy(hears(holding(BASE), *LOG), CAROL)

    def kept(keep: Keep) -> set[tuple[str, int]]:
        return {(each.variant.target, each.at) for each in anew if keep.holds(each)}

    removal, own, dave = (ERIN, 20), (CAROL, 5), (DAVE, 10)
    assert kept(Keep()) == {removal, own, dave}
    assert kept(Keep(frozenset({DAVE}))) == {removal, dave}
    assert kept(Keep(frozenset())) == {removal}, "what was removed stays out, whatever is chosen"
    assert kept(Keep(before=10)) == {removal, own}, "an admit of that very second is not older"
    assert kept(Keep(before=11)) == {removal, own, dave}
    assert kept(Keep(frozenset({DAVE}), before=10)) == {removal}


def test_kept_removals_are_signed_anew_by_whoever_may() -> None:
    book = demoted(hears(holding(BASE), *LOG))
    assert book.pin.evicted == {ERIN: 20, MALLORY: 40}
    todo = kept_removals(book)
    assert todo == tuple(
        sorted((Anew(Evict(ERIN), 20), Anew(Evict(MALLORY), 40)), key=lambda anew: anew.variant.target)
    )
    for anew in todo:
        book = sign_anew(book, anew, sign(ALICE, anew.variant))
    assert kept_removals(book) == ()
    member = demoted(hears(holding(BASE, FRANK), *LOG))
    assert kept_removals(member) == ()
    assert member.is_evicted(ERIN)


def test_a_removal_that_came_after_its_author_s_fall_is_for_a_person() -> None:
    late = (entry(RoleGrant(DAVE, "member"), ALICE, at=10), entry(Evict(DAVE), CAROL, at=20))
    book = hears(holding(DEMOTED), *late)
    assert book.role(DAVE) == "member"
    ((question, removal),) = orphans(book).items()
    assert removal == late[1]
    assert orphans(dismiss(book, question)) == {}
    decided = sign_anew(book, Anew(Evict(DAVE), removal.at), sign(ALICE, Evict(DAVE)))
    assert decided.is_evicted(DAVE)
    assert orphans(decided) == {}
    assert orphans(hears(holding(DEMOTED, FRANK), *late)) == {}, "a member is not asked"
    assert orphans(hears(holding(DEMOTED), entry(RoleGrant(DAVE, "member"), ALICE, at=30), late[1])) == {}
