"""The quick way of a joiner says of every entry what the thorough one says (spec 02 §24.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from myownmesh.governance.hearing import hear_entries
from myownmesh.governance.judging import Aside, judge
from myownmesh.governance.member_log import MAX_COPIES, Draft
from myownmesh.governance.newcomers import Newcomers
from myownmesh.governance.signatures import Checks
from myownmesh.governance.words import HEARSAY, OURSELVES, Speaker
from myownmesh.protocol.transitions import Evict, KindChange, RoleGrant, RoleRevoke
from support.examples import examples
from support.governance import ALICE, BOB, CAROL, DAVE, ERIN, FRANK, GRACE, MALLORY, NETWORK, book_of, entry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from myownmesh.governance.book import Book
    from myownmesh.governance.judging import Judgement
    from myownmesh.governance.newcomers import Author
    from myownmesh.protocol.transitions import Transition

NOW = 1_000_000
DAY = 24 * 3600
BOOK = book_of(
    [
        entry(KindChange("closed"), ALICE),
        entry(RoleGrant(CAROL, "controller"), ALICE),
        entry(RoleGrant(BOB, "controller"), ALICE),
        entry(RoleRevoke(BOB), ALICE),
    ],
    FRANK,
)
FORGED = msgspec.structs.replace(entry(RoleGrant(ERIN, "member"), ALICE), variant=RoleGrant(DAVE, "member"))
ENTRIES = [
    *(
        entry(variant, signer, at=at)
        for variant in (RoleGrant(DAVE, "member"), Evict(DAVE), RoleGrant(ERIN, "member"), RoleRevoke(GRACE))
        for signer in (ALICE, BOB, CAROL, MALLORY)
        for at in (5, NOW + 2 * DAY)
    ),
    entry(RoleGrant(FRANK, "member"), CAROL),
    entry(RoleGrant(DAVE, "member"), ALICE, MALLORY),
    entry(RoleGrant(DAVE, "controller"), ALICE),
    entry(KindChange("open"), ALICE),
    FORGED,
    msgspec.structs.replace(entry(RoleGrant(ERIN, "member"), ALICE), signatures=("x" * 5,)),
]
SPEAKERS = [HEARSAY, OURSELVES, Speaker(ALICE, vouched=True), Speaker(CAROL, said=frozenset(ENTRIES[4].signatures))]


def one_by_one(book: Book, entries: Sequence[Transition], speaker: Speaker) -> tuple[Book, list[Judgement]]:
    draft = Draft(book.members)
    court, aside, found = book.court(NOW, draft), book.aside, []
    for each in entries:
        found.append(judge(each, speaker, court, Checks(NETWORK), aside))
        aside = found[-1].aside
    return replace(book, members=draft.done(), aside=aside), found


@settings(max_examples=examples(200))
@given(
    entries=st.lists(st.sampled_from(ENTRIES), max_size=12),
    speaker=st.sampled_from(SPEAKERS),
    kept=st.sampled_from([{}, {DAVE: 7}]),
)
def test_both_ways_say_the_same(entries: list[Transition], speaker: Speaker, kept: dict[str, int]) -> None:
    book = replace(BOOK, pin=BOOK.pin.keeping(kept))
    slow, judgements = one_by_one(book, entries, speaker)
    quick = hear_entries(book, entries, speaker, Checks(NETWORK), NOW, max_checks=100)
    assert [judgement for _, judgement in quick.judged] == judgements
    assert quick.book.members == slow.members
    assert quick.book.aside == slow.aside
    assert quick.failed == sum(each.charge for each in judgements)


def plain(entries: Sequence[Transition], book: Book = BOOK, aside: Aside | None = None) -> list[Author | bool | None]:
    court = book.court(NOW, Draft(book.members))
    return Newcomers(HEARSAY, court, aside or Aside(), Checks(NETWORK)).checked(entries, 100)


@pytest.mark.parametrize(
    ("each", "found"),
    [
        (entry(RoleGrant(DAVE, "member"), ALICE), True),
        (entry(Evict(DAVE), CAROL), True),
        (entry(Evict(DAVE), BOB), True),
        (FORGED, False),
        (entry(RoleGrant(DAVE, "controller"), ALICE), None),
        (entry(RoleRevoke(DAVE), ALICE), None),
        (entry(Evict(DAVE), MALLORY), None),
        (entry(Evict(DAVE), ALICE, CAROL), None),
        (entry(RoleGrant(FRANK, "member"), ALICE), None),
        (entry(Evict(DAVE), ALICE, at=NOW + DAY + 1), None),
        (msgspec.structs.replace(entry(Evict(DAVE), ALICE), signatures=()), None),
        (msgspec.structs.replace(entry(Evict(DAVE), ALICE), signatures=("A" * 103,)), None),
        (msgspec.structs.replace(entry(Evict(DAVE), ALICE), signatures=("a" * 102 + "b",)), None),
        (msgspec.structs.replace(entry(Evict(DAVE), ALICE), variant=Evict("dave")), None),
    ],
)
def test_what_is_plain(each: Transition, found: bool | None) -> None:
    [key] = plain([each])
    assert (key if key is None or key is False else True) is found


def test_nothing_is_plain_where_something_is_known_or_waits() -> None:
    each = entry(RoleGrant(DAVE, "member"), ALICE)
    assert plain([each], replace(BOOK, pin=BOOK.pin.keeping({DAVE: 3}))) == [None]
    assert plain([each], hear_entries(BOOK, [each], HEARSAY, Checks(NETWORK), NOW, max_checks=1).book) == [None]
    waits = hear_entries(BOOK, [entry(Evict(DAVE), MALLORY)], HEARSAY, Checks(NETWORK), NOW, max_checks=1).book
    assert plain([each], aside=waits.aside) == []


@pytest.mark.parametrize("strange", [1, 3])
def test_every_slice_gets_on_whatever_comes_first(strange: int) -> None:
    """What is not plain wants checks of its own; those of what follows it must not leave it none, for ever."""
    rest = tuple(
        [entry(RoleGrant(FRANK, "member"), ALICE, at=5 + number) for number in range(strange)]
        + [entry(RoleGrant(device, "member"), ALICE) for device in (BOB, DAVE, ERIN, GRACE, MALLORY)]
    )
    book, slices = BOOK, 0
    while rest and slices < 20:
        heard = hear_entries(book, rest, HEARSAY, Checks(NETWORK), NOW, max_checks=3)
        book, rest, slices = heard.book, heard.rest, slices + 1
    assert not rest
    assert slices <= 4


def test_what_fills_the_log_is_judged_thoroughly(monkeypatch: pytest.MonkeyPatch) -> None:
    assert MAX_COPIES > 1
    monkeypatch.setattr("myownmesh.governance.newcomers.MAX_COPIES", 1)
    monkeypatch.setattr("myownmesh.governance.judging.MAX_COPIES", 1)
    entries = [entry(RoleGrant(device, "member"), ALICE) for device in (DAVE, ERIN)]
    heard = hear_entries(BOOK, entries, HEARSAY, Checks(NETWORK), NOW, max_checks=9)
    assert [judgement.why for _, judgement in heard.judged] == ["", "LOG-FULL"]
