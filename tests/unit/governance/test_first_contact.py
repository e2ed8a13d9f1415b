"""Who ends the caution of a device that has just joined or lost its state, and clocks that are wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

from myownmesh.governance.book import Book
from myownmesh.governance.clocks import waits_for_clock
from myownmesh.governance.first_contact import FirstContact
from myownmesh.governance.hearing import hear_entries
from myownmesh.governance.signatures import Checks
from myownmesh.governance.words import HEARSAY
from myownmesh.protocol.modes import FullMesh
from myownmesh.protocol.transitions import (
    Evict,
    KindChange,
    RoleGrant,
    RoleRevoke,
    TopologyChange,
)
from support.governance import ALICE, BOB, CAROL, DAVE, ERIN, FRANK, MALLORY, NETWORK, entry

if TYPE_CHECKING:
    from myownmesh.protocol.transitions import (
        Transition,
        Variant,
    )


def founded(me: str, *members: str, log: tuple[Transition, ...] = ()) -> Book:
    book = Book(NETWORK, me)
    held = book.log.extended((entry(KindChange("closed"), ALICE), *log), NETWORK, book.rules)
    book = book.with_branch(book.branch.with_log(held, 0), book.branches)
    admits = [entry(RoleGrant(member, "member"), ALICE) for member in members]
    return hear_entries(book, admits, HEARSAY, Checks(NETWORK), 1000, max_checks=99).book


def test_an_authority_or_the_inviter_ends_it_and_members_do_not() -> None:
    book = founded(FRANK, FRANK, DAVE, ERIN)
    contact = FirstContact(inviter=ERIN)
    assert not contact.approves(book, DAVE)
    assert contact.approves(book, ALICE)
    assert contact.approves(book, ERIN)
    for device in (DAVE, MALLORY):
        assert contact.answered(book, device) is contact
    for device in (ALICE, ERIN):
        assert contact.answered(book, device).approves(book, DAVE)
    over = contact.clicked()
    assert over.answered(book, DAVE) is over


def test_a_sole_owner_that_lost_its_state_believes_two_members_or_the_only_one() -> None:
    book = founded(ALICE, BOB, DAVE, ERIN)
    once = FirstContact().answered(book, BOB)
    assert not once.over
    assert not once.answered(book, BOB).over
    assert not once.answered(book, MALLORY).over
    assert once.answered(book, DAVE).over
    assert FirstContact().answered(founded(ALICE, BOB), BOB).over


def test_with_a_second_authority_members_are_not_enough() -> None:
    book = founded(ALICE, BOB, DAVE, log=(entry(RoleGrant(CAROL, "controller"), ALICE),))
    assert not FirstContact().answered(book, BOB).answered(book, DAVE).over
    assert FirstContact().answered(book, CAROL).over


def test_a_wrong_clock_never_keeps_anybody_from_removing() -> None:
    waiting: list[Variant] = [RoleGrant(DAVE, "member"), RoleGrant(DAVE, "owner"), KindChange("open")]
    free: list[Variant] = [Evict(DAVE), RoleRevoke(DAVE), TopologyChange(FullMesh())]
    for ahead_s in (301, -301, 10**9):
        assert all(waits_for_clock(variant, ahead_s) for variant in waiting)
        assert not any(waits_for_clock(variant, ahead_s) for variant in free)
    assert not any(waits_for_clock(variant, ahead_s) for variant in waiting for ahead_s in (0, 300, -300))
