"""Who is kept from a branch by one that does not count is asked, once others are seen on it (02 §24.3 no. 46)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest
from msgspec.structs import replace

from myownmesh.governance.adoption import hear_log, reconsider, stay, switch
from myownmesh.governance.checkup import Surroundings, findings
from myownmesh.governance.holdouts import SAME_LOOKS, Looks, kept_out, look, still_asked
from myownmesh.governance.merging import merge_behind, merge_of
from myownmesh.governance.sync import log_digest
from myownmesh.governance.telling import Names
from myownmesh.governance.waiting import waits
from myownmesh.governance.words import Speaker
from myownmesh.protocol.transitions import RoleRevoke
from support.governance import ALICE, DEVICES, FRANK, NETWORK, entry, log_of
from support.holdouts import kept_apart, three_branches

if TYPE_CHECKING:
    from collections.abc import Collection

    from myownmesh.governance.book import Book
    from myownmesh.governance.checkup import Finding

NOW: Final = 2_000_000
THREE: Final = three_branches(
    NETWORK, DEVICES["alice"], [DEVICES[name] for name in ("bob", "carol", "dave", "erin")], at=1000
)
PROMOTED: Final = THREE.held.places[-1].entry.signers[0]
HELD, BETTER, THIRD = (log_digest(log) for log in (THREE.held, THREE.better, THREE.third))


@pytest.fixture
def book() -> Book:
    found = kept_apart(FRANK, THREE, NOW)
    assert found.log == THREE.held, "the rules leave it there"
    assert not found.questions.rivals, "and ask nobody"
    return found


def looked(book: Book, *rounds: Collection[str]) -> Book:
    """After a look for each of these lists of what others hold."""
    looks = Looks()
    for shown in rounds:
        book, looks = look(book, kept_out(book.log, book.branches), shown, looks)
    return book


def asked(book: Book) -> Book:
    return looked(book, *[(BETTER,)] * SAME_LOOKS)


def fork(book: Book) -> Finding:
    [found] = [each for each in findings(book, Surroundings(), Names({}, FRANK)) if each.code == "fork"]
    return found


def test_a_branch_that_only_a_third_keeps_out_is_asked_about_after_three_looks(book: Book) -> None:
    assert kept_out(book.log, book.branches) == (THREE.better,)
    assert looked(book, *[(BETTER,)] * (SAME_LOOKS - 1)) is book
    assert [*asked(book).questions.rivals.values()] == [THREE.better]
    assert asked(asked(book)).questions == asked(book).questions


@pytest.mark.parametrize(
    "rounds",
    [
        [(BETTER,), (HELD,), (BETTER,), (BETTER,)],
        [(BETTER,), (BETTER,), (), (BETTER,)],
        [(HELD, THIRD)] * (2 * SAME_LOOKS),
    ],
    ids=["somebody looked elsewhere meanwhile", "nobody was linked meanwhile", "nobody holds it"],
)
def test_nobody_is_asked_before_it_is_seen_often_enough(book: Book, rounds: list[Collection[str]]) -> None:
    assert looked(book, *rounds) is book


def test_the_question_ends_when_nobody_holds_the_branch_any_more(book: Book) -> None:
    found = asked(book)
    assert looked(found, *[()] * (2 * SAME_LOOKS)) is found, "who is alone cannot tell"
    assert not looked(found, *[(HELD,)] * SAME_LOOKS).questions.rivals


def test_the_question_stands_whatever_else_is_heard_and_ends_with_its_reason(book: Book) -> None:
    found = asked(book)
    assert reconsider(found, NOW).book is found
    settled = log_of([*THREE.better.entries, entry(RoleRevoke(THREE.third.places[-2].entry.signers[0]), ALICE)])
    after = hear_log(found, settled, Speaker(ALICE), NOW)
    assert (after.found, after.book.log, dict(after.book.questions.rivals)) == ("switched", settled, {})


def test_another_question_about_branches_is_left_alone(book: Book) -> None:
    other = replace(book, questions=book.questions.with_rival(THREE.third))
    assert still_asked(other) is None
    assert asked(other) is other


def test_who_stays_is_not_asked_again(book: Book) -> None:
    found = asked(book)
    [question] = found.questions.rivals
    stayed = stay(found, question)
    assert (stayed.log, kept_out(stayed.log, stayed.branches)) == (THREE.held, ())


def test_whom_the_third_one_puts_out_the_merge_behind_the_click_does_not_promote(book: Book) -> None:
    """A liar left the removal out of what this device held, so that its own branches do not tell."""
    found = asked(book)
    [question] = found.questions.rivals
    done = switch(found, question, NOW)
    assert (done.book.log, done.left) == (THREE.better, THREE.held)
    promotion = THREE.held.places[-2].entry
    blind = merge_of(done.book.log, THREE.held, ALICE, done.book.rules)
    assert blind.steps == (promotion,)
    merge = merge_behind(replace(done.book, me=ALICE), THREE.held)
    assert (merge.steps, [place.entry for place in merge.skipped]) == ((), [promotion])
    person = replace(done.book, me=ALICE, branches=done.book.branches.staying(THREE.third))
    assert merge_behind(person, THREE.held).steps == (promotion,), "what a person refused says nothing any more"


def test_a_person_is_told_what_the_question_is_and_doctor_where_it_waits(book: Book) -> None:
    assert "leave the network and join it again" in fork(book).help
    found = asked(book)
    assert "ctl governance pending" in fork(found).help
    [wait] = waits(found, Names({}, FRANK))
    assert (wait.sort, wait.record.proposer) == ("branch", PROMOTED)
    assert wait.text.startswith("others hold another branch, which")
