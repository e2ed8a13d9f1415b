"""Who is let in by an invitation: at most as many as it says, each once, whatever the order (spec 11 §1.4)."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from myownmesh.identity import Identity
from myownmesh.invitations.book import Accepted, Approved, Book, Moment, Refused
from myownmesh.invitations.tokens import Meeting, mac_of, read_token

if TYPE_CHECKING:
    from myownmesh.invitations.book import Invite

INVITER, *JOINERS = (Identity.from_seed(bytes([each]) * 32).device_id for each in range(1, 8))
NOW = 1_800_000_000
RNG = Random(5)


def meeting(joiner: str) -> Meeting:
    return Meeting("room", joiner, INVITER, "sha-256 aa")


def shown(invite: Invite, joiner: str) -> tuple[str, str]:
    return invite.id, mac_of(read_token(invite.token), meeting(joiner))


def judge(
    book: Book, invite: Invite, joiner: str, later: float = 0, ends: dict[str, float] | None = None
) -> Approved | str:
    moment = Moment(NOW + later, later)
    return book.judge(shown(invite, joiner), meeting(joiner), moment, {} if ends is None else ends)


def made(uses: int = 1, ttl_s: int = 900) -> tuple[Book, Invite]:
    return Book().create(ttl_s=ttl_s, uses=uses, note="", now=NOW, rng=RNG)


def test_one_use_is_for_one_device_which_may_come_again() -> None:
    book, invite = made()
    first = judge(book, invite, JOINERS[0])
    assert isinstance(first, Approved)
    assert first.is_new
    assert first.book.get(invite.id) == first.invite == replace(invite, by=(JOINERS[0],))
    assert judge(first.book, invite, JOINERS[1]) == "used up"
    again = judge(first.book, invite, JOINERS[0])
    assert isinstance(again, Approved)
    assert not again.is_new
    assert again.book is first.book


def test_what_opens_nothing() -> None:
    book, invite = made()
    _, other = made()
    assert judge(book, other, JOINERS[0]) == "unknown"
    assert book.judge((invite.id, "x"), meeting(JOINERS[0]), Moment(NOW, 0), {}) == "mac"
    assert book.judge(shown(invite, JOINERS[1]), meeting(JOINERS[0]), Moment(NOW, 0), {}) == "mac"
    assert judge(book, invite, JOINERS[0], later=900) == "expired"
    assert isinstance(judge(book, invite, JOINERS[0], later=899), Approved)


def test_a_clock_that_is_set_back_makes_none_live_longer() -> None:
    book, invite = made()
    back = Moment(NOW - 86_400, 900.0)
    assert book.judge(shown(invite, JOINERS[0]), meeting(JOINERS[0]), back, {invite.id: 900.0}) == "expired"


def test_who_used_it_gets_in_again_only_while_it_lasts() -> None:
    book, invite = made()
    first = judge(book, invite, JOINERS[0])
    assert isinstance(first, Approved)
    assert judge(first.book, invite, JOINERS[0], later=901) == "expired"


@given(st.integers(1, 4), st.lists(st.integers(0, 5), max_size=20))
def test_no_interleaving_uses_one_more_often_than_it_says(uses: int, comers: list[int]) -> None:
    book, invite = made(uses)
    let_in: list[str] = []
    for number in comers:
        joiner = JOINERS[number]
        judged = judge(book, invite, joiner)
        if isinstance(judged, Approved):
            assert judged.is_new == (joiner not in let_in)
            let_in += [joiner] if judged.is_new else []
            book = judged.book
        else:
            assert judged == "used up"
            assert len(let_in) == uses
    assert len(let_in) <= uses
    kept = book.get(invite.id)
    assert kept is not None
    assert list(kept.by) == let_in


@pytest.mark.parametrize(
    ("ttl_s", "uses", "note"),
    [(0, 1, ""), (-1, 1, ""), (30 * 86_400 + 1, 1, ""), (9, 0, ""), (9, 101, ""), (9, 1, "é" * 129)],
)
def test_what_cannot_be_made(ttl_s: int, uses: int, note: str) -> None:
    with pytest.raises(Refused):
        Book().create(ttl_s=ttl_s, uses=uses, note=note, now=NOW, rng=RNG)


def test_sixty_four_at_a_time_expired_ones_make_room() -> None:
    book = Book()
    for _ in range(64):
        book, _invite = book.create(ttl_s=60, uses=1, note="", now=NOW, rng=RNG)
    with pytest.raises(Refused, match="take some back first"):
        book.create(ttl_s=60, uses=1, note="", now=NOW, rng=RNG)
    book, invite = book.create(ttl_s=60, uses=1, note="", now=NOW + 60, rng=RNG)
    assert book.invites == (invite,)


def test_ids_are_unique_in_the_book() -> None:
    class Repeating:
        draws = [b"a" * 16, b"a" * 16, b"b" * 16]  # noqa: RUF012 - one use

        def randbytes(self, n: int, /) -> bytes:
            return self.draws.pop(0)[:n]

    rng = Repeating()
    book, first = Book().create(ttl_s=60, uses=1, note="", now=NOW, rng=rng)
    book, second = book.create(ttl_s=60, uses=1, note="", now=NOW, rng=rng)
    assert first.id != second.id


def test_one_is_taken_back() -> None:
    book, invite = made()
    after = book.revoke(invite.id)
    assert after == Book()
    assert judge(after, invite, JOINERS[0]) == "unknown"
    with pytest.raises(Refused, match="there is no invitation"):
        after.revoke(invite.id)


def test_no_token_is_shown_by_accident() -> None:
    book, invite = made()
    book = book.accept(Accepted(INVITER, invite.token, NOW), NOW)
    assert invite.token not in repr(book)


def test_taken_ones_are_few_and_go_when_they_are_over() -> None:
    book = Book()
    for number in range(10):
        book = book.accept(Accepted(f"inviter {number}", "t", NOW + number), NOW)
    assert [each.sender for each in book.accepted] == [f"inviter {number}" for number in range(2, 10)]
    book = book.accept(Accepted("inviter 3", "newer", NOW), NOW)
    assert len(book.accepted) == 8
    newest = book.accepted_from("inviter 3")
    assert newest is not None
    assert newest.token == "newer"
    assert book.still_accepted(NOW + 7200) is book
    assert book.still_accepted(NOW + 7201).accepted_from("inviter 3") is None
    assert book.let_in_by("inviter 4").accepted_from("inviter 4") is None
    assert book.let_in_by("nobody") is book
