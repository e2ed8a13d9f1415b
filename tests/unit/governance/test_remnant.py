"""A lost log that nobody has any more, and signatures that wait behind a lock (spec 02 §24.3 nos. 46, 48, 50)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from myownmesh.governance.adoption import hear_log
from myownmesh.governance.authoring import Refused, draft
from myownmesh.governance.book import Book
from myownmesh.governance.hearing import hear_entries
from myownmesh.governance.pending import pending
from myownmesh.governance.pins import Pin
from myownmesh.governance.questions import MAX_OWED, Owed
from myownmesh.governance.remnant import go_on, is_short, offer
from myownmesh.governance.succession import Anew, owed, sign_anew
from myownmesh.governance.words import HEARSAY, OURSELVES
from myownmesh.protocol.transitions import Evict, KindChange, RoleGrant, RoleRevoke
from support.governance import ALICE, BOB, CAROL, CHECKS, DAVE, ERIN, NETWORK, book_of, entry, log_of, sign

if TYPE_CHECKING:
    from myownmesh.protocol.transitions import Transition

NOW = 1_000_000
BASE = (entry(KindChange("closed"), ALICE), entry(RoleGrant(CAROL, "controller"), ALICE))
LATER = entry(RoleGrant(BOB, "owner"), ALICE)


def lost(*back: Transition) -> Book:
    """A device whose pin remembers three entries, and which has got some of them back."""
    empty = Book(NETWORK, ALICE, Pin(NETWORK).on(log_of((*BASE, LATER))), lost=3)
    return hear_log(empty, log_of(back), OURSELVES, NOW).book if back else empty


def test_who_has_lost_entries_is_asked_whether_to_go_on_without_them() -> None:
    book = offer(lost(*BASE))
    [record] = pending(book)
    assert (record.variant, record.proposer) == (BASE[1].variant, ALICE), "the newest entry that is left"
    assert record.id in book.questions
    assert offer(book) is book
    with pytest.raises(Refused, match="2 of 3 entries are back"):
        draft(book, RoleGrant(DAVE, "member"))
    after = go_on(book, record.id)
    assert (after.lost, after.pin.entries, pending(after)) == (0, 2, ())
    assert draft(after, RoleGrant(DAVE, "member")) is not None


def test_nobody_is_asked_who_has_all_or_nothing() -> None:
    for book in (lost(), lost(*BASE, LATER), book_of(BASE, ALICE)):
        assert offer(book) is book
    assert is_short(lost())
    assert not is_short(lost(*BASE, LATER))


def test_what_comes_back_makes_it_another_question_and_a_no_lasts() -> None:
    book = offer(lost(BASE[0]))
    [first] = book.questions.remnants
    book = hear_log(book, log_of(BASE), OURSELVES, NOW).book
    assert not book.questions.remnants
    [second] = offer(book).questions.remnants
    assert first != second
    said_no = replace(book, questions=offer(book).questions.without(second, dismiss=True))
    assert offer(said_no) is said_no


# ── owed ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def owing(book: Book, *each: Owed) -> Book:
    questions = book.questions
    for one in each:
        questions = questions.owing(NETWORK, one)
    return replace(book, questions=questions)


def with_kept_removal() -> Book:
    """Erin is out only because this device counted it while Carol had a seat."""
    book = hear_entries(
        book_of(BASE, ALICE), [entry(Evict(ERIN), CAROL, at=20)], HEARSAY, CHECKS, NOW, max_checks=9
    ).book
    return hear_log(book, log_of((*BASE, entry(RoleRevoke(CAROL), ALICE))), OURSELVES, NOW).book


def test_a_removal_that_is_owed_waits_until_somebody_has_signed_it() -> None:
    book = owing(with_kept_removal(), Owed(Evict(ERIN), 20))
    [record] = pending(book)
    assert (record.proposer, record.variant, record.created_at) == (ALICE, Evict(ERIN), 20)
    assert (record.signers, record.signatures) == ((), ())
    assert record.id in book.questions
    anew = owed(book)[record.id]
    assert owing(book, anew).questions is book.questions, "it is owed once"
    done = sign_anew(book, Anew(Evict(ERIN), 20), sign(ALICE, Evict(ERIN)))
    assert pending(done) == ()
    assert pending(owing(with_kept_removal(), Owed(Evict(ERIN), 19))) == (), "nothing of that time is kept"


def test_a_decision_that_is_owed_waits_while_it_would_take_somebody_down() -> None:
    book = owing(book_of((*BASE, LATER), ALICE), Owed(RoleRevoke(CAROL)))
    assert [record.variant for record in pending(book)] == [RoleRevoke(CAROL)]
    gone = hear_log(book, log_of((*BASE, LATER, entry(RoleRevoke(CAROL), BOB))), OURSELVES, NOW).book
    assert pending(gone) == ()
    member = owing(book_of((*BASE, LATER), DAVE), Owed(RoleRevoke(CAROL)))
    assert pending(member) == (), "whoever may not sign it owes nothing"


def test_a_no_lasts_and_of_too_many_the_oldest_goes() -> None:
    book = owing(book_of(BASE, ALICE), Owed(RoleRevoke(CAROL)))
    [question] = book.questions.owed
    no = replace(book, questions=book.questions.without(question, dismiss=True))
    assert not owing(no, Owed(RoleRevoke(CAROL))).questions.owed
    full = owing(book_of(BASE, ALICE), *(Owed(Evict(ERIN), at) for at in range(MAX_OWED + 1)))
    assert [each.at for each in full.questions.owed.values()] == list(range(1, MAX_OWED + 1))
