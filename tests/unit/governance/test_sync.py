"""What travels between devices: everything once, nothing too long, and only what differs between ours."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import UNSET
from msgspec.structs import replace

from myownmesh.governance import sync as module
from myownmesh.governance.adoption import hear_log
from myownmesh.governance.book import Book
from myownmesh.governance.copies import FOR_GOOD, Copy
from myownmesh.governance.hearing import hear_entries
from myownmesh.governance.marking import sign_marked
from myownmesh.governance.signed_bytes import signed_bytes
from myownmesh.governance.sync import (
    FEATURE,
    Advert,
    answer,
    denial,
    differing,
    is_ahead,
    request,
    to_tell,
)
from myownmesh.governance.words import HEARSAY, OURSELVES, Speaker
from myownmesh.protocol.codec import MalformedFrame, decode_frame, encode_frame
from myownmesh.protocol.frames import RosterEntries, RosterEntry, RosterRequest
from myownmesh.protocol.limits import MAX_FRAME_BYTES
from myownmesh.protocol.transitions import Evict, KindChange, RoleGrant, Transition, UnknownVariant
from support.calls import counted
from support.examples import examples
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
)
from support.vectors import load

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from myownmesh.protocol.transitions import Variant

NOW = 1_000_000
BASE = (entry(KindChange("closed"), ALICE), entry(RoleGrant(CAROL, "controller"), ALICE))
ADMIT, PUT_OUT = RoleGrant(DAVE, "member"), Evict(DAVE)
DIGITS = str.maketrans("0189", "wxyz")


def founded(me: str = FRANK) -> Book:
    return book_of(BASE, me, NOW)


def hears(book: Book, entries: Sequence[Transition], speaker: Speaker = HEARSAY) -> Book:
    return hear_entries(book, entries, speaker, CHECKS, NOW, max_checks=10**6).book


def with_many(book: Book, count: int, words: frozenset[str] = frozenset({FOR_GOOD})) -> Book:
    """A member log of `count` devices, whose signatures nobody looks at."""
    admits = (
        Transition(
            1000 + n, RoleGrant(f"{n:051}a".translate(DIGITS), "member"), (ALICE,), (f"{n:0102}a".translate(DIGITS),)
        )
        for n in range(count)
    )
    return replace(
        book, members=book.members.with_copies((Copy(each, words) for each in admits), book.standing, book.me)
    )


def frames_of(
    book: Book, rows: Iterable[RosterEntry] = (), hashes: Sequence[str] = (), *, vouching: bool = False
) -> list[RosterEntries]:
    frames = [frame for frame in answer(book, rows, hashes, vouching=vouching) if frame is not None]
    assert all(len(encode_frame(frame)) <= MAX_FRAME_BYTES for frame in frames)
    return frames


def pulls(book: Book, other: Book, *, ours: bool = True) -> tuple[Book, int]:
    """One device asks another for everything that differs; how many bytes travelled."""
    asked = request(book, knows_digests=ours)
    nbytes = 0
    for frame in frames_of(other, (), asked.subtree_hashes, vouching=ours):
        nbytes += len(encode_frame(frame))
        speaker = Speaker(other.me, vouched=frame.vouched is True)
        if frame.transitions:
            book = hear_log(book, log_of(frame.transitions), speaker, NOW).book
        book = hears(book, frame.member_log, speaker)
    return book, nbytes


# ── frames ────────────────────────────────────────────────────────────────────────────────────────────────────────────

ROW = RosterEntry(ALICE, "alice", 1, "owner")


def test_a_small_answer_is_v038s_one_frame() -> None:
    book = hears(founded(), [entry(ADMIT, ALICE)])
    (frame,) = frames_of(book, [ROW])
    assert frame == RosterEntries((ROW,), BASE, (entry(ADMIT, ALICE),))
    assert b"vouched" not in encode_frame(frame)


def test_an_answer_is_never_silence() -> None:
    assert frames_of(Book(NETWORK, FRANK)) == [RosterEntries((), (), ())]


def test_vouched_is_read_from_and_written_to_the_wire() -> None:
    frame = RosterEntries((), BASE, (), vouched=True)
    assert decode_frame(encode_frame(frame)) == frame
    quick = RosterEntries((ROW,), (), (), vouched=True)
    assert decode_frame(encode_frame(quick)) == quick
    assert decode_frame(b'{"kind":"roster_entries","entries":[]}') == RosterEntries(())
    assert RosterEntries(()).vouched is UNSET


@pytest.mark.parametrize("case", load("governance", "wire_frames"), ids=lambda case: case["id"])
def test_frames_of_governance(case: dict[str, Any]) -> None:
    """v0.3.8 reads objects that are written as arrays (`*-as-array`); nobody sends them, and ours refuses them."""
    data = case["json"].encode()
    if case["expect"] == "discard_frame" or case["id"].endswith("-as-array"):
        with pytest.raises(MalformedFrame):
            decode_frame(data)
    else:
        assert msgspec.json.decode(data)["kind"] == decode_frame(data).KIND


@settings(max_examples=examples(20), deadline=None)
@given(st.integers(0, 900), st.integers(0, 1200))
def test_everything_travels_once_and_the_governance_log_first(rows: int, members: int) -> None:
    book = with_many(founded(), members)
    row = [RosterEntry(f"{n:052}".translate(DIGITS), "é" * 20, n, "member") for n in range(rows)]
    frames = frames_of(book, row)
    assert frames[0].transitions == BASE
    assert not any(frame.transitions for frame in frames[1:])
    assert [each for frame in frames for each in frame.entries] == row
    sent = [each for frame in frames for each in frame.member_log]
    assert len(sent) == len(set(sent)) == members
    assert set(sent) == set(book.members.entries())


def test_variants_of_later_releases_are_passed_on() -> None:
    later = Transition(3, UnknownVariant("later", b'{"kind":"later"}'), (ALICE,), ("?",))
    book = hears(founded(), [later])
    (frame,) = frames_of(book)
    assert frame.member_log == (later,)


# ── vouching ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_authority_vouches_for_what_it_is_sure_of_in_frames_of_its_own() -> None:
    sure, heard = entry(ADMIT, ALICE), entry(RoleGrant(ERIN, "member"), ALICE)
    book = hears(hears(founded(CAROL), [sure], OURSELVES), [heard])
    by_vouched = {frame.vouched: frame.member_log for frame in frames_of(book, vouching=True) if frame.member_log}
    assert by_vouched == {True: (sure,), UNSET: (heard,)}
    assert all(frame.vouched is UNSET for frame in frames_of(book, vouching=False))
    member = hears(hears(founded(FRANK), [sure], OURSELVES), [heard])
    assert all(frame.vouched is UNSET for frame in frames_of(member, vouching=True)), "a member has no say"


def test_a_re_admission_by_v038_reaches_ours_through_an_authority_that_heard_it() -> None:
    before = [entry(ADMIT, ALICE, at=10), entry(PUT_OUT, ALICE, at=20)]
    again = entry(ADMIT, ALICE, at=30)
    carol = hears(hears(founded(CAROL), before), [again], Speaker(ALICE, said=frozenset(again.signatures)))
    frank = hears(founded(FRANK), before)
    assert carol.role(DAVE) == "member"
    assert pulls(frank, carol)[0].role(DAVE) == "member"
    assert pulls(frank, carol, ours=False)[0].is_evicted(DAVE), "over an unvouched answer it stays a question"


# ── what differs ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_other_texts_than_digests_ask_for_everything() -> None:
    book = founded()
    digests = book.members.digests()
    assert differing(book, digests) == frozenset()
    for hashes in ((), digests[:-1], ("b32:" + digests[0][4:], *digests[1:]), ("b64:a", *digests[1:])):
        assert differing(book, hashes) is None
    assert request(book, knows_digests=True) == RosterRequest(include_all=True, subtree_hashes=digests)
    assert request(book, knows_digests=False) == RosterRequest(include_all=True)
    assert FEATURE == "governance_checked_v1"


def test_a_member_that_lacks_one_of_ten_thousand_gets_less_than_a_frame() -> None:
    full = with_many(founded(CAROL), 10_000)
    lacking = hears(full, [entry(ADMIT, ALICE)], OURSELVES)
    asked = request(full, knows_digests=True)
    differs = differing(lacking, asked.subtree_hashes)
    assert differs is not None
    assert len(differs) == 1
    frames = frames_of(lacking, (), asked.subtree_hashes, vouching=True)
    assert sum(len(encode_frame(frame)) for frame in frames) < 65_536
    told = [each for frame in frames for each in frame.member_log]
    assert entry(ADMIT, ALICE) in told
    assert len(told) < 40, "of a bucket of 156, its leaf alone"


def test_a_leaf_that_looks_equal_by_chance_hides_nothing() -> None:
    """What is told of leaves is short. Where a bucket differs and no leaf does, all of the bucket is told."""
    full = with_many(founded(CAROL), 10_000)
    lacking = hears(full, [entry(ADMIT, ALICE)], OURSELVES)
    of_full, of_lacking = (request(book, knows_digests=True).subtree_hashes for book in (full, lacking))
    new = entry(ADMIT, ALICE)
    told = told_for(lacking, of_full)
    assert new in told
    assert len(told) < 40
    whole = told_for(lacking, (*of_full[:-1], of_lacking[-1]))
    assert new in whole
    assert len(whole) > 80, "no leaf differs: the bucket is told"
    assert told_for(lacking, of_full[:-1]) == whole, "and so is it without leaves"
    assert None in list(answer(lacking, (), of_full[:-1], vouching=True)), "with pauses between what is passed over"
    assert not told_for(lacking, of_lacking)
    for last in ("leaves:" + "b" * 10, "leaves:" + "!" * (len(of_full[-1]) - 7), "b64:" + "a" * 52):
        assert differing(lacking, (*of_full[:-1], last)) is None
        assert len(told_for(lacking, (*of_full[:-1], last))) == 10_001
    assert differing(lacking, (*of_full, of_full[-1])) is None


def told_for(book: Book, hashes: Sequence[str]) -> list[Transition]:
    return [copy.entry for copy in to_tell(book, hashes) if copy is not None]


@pytest.mark.parametrize("leaves_from", [module.LEAVES_FROM, 1], ids=["by buckets", "by leaves"])
def test_a_device_that_waits_for_a_word_says_so_by_its_digests(
    leaves_from: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own eviction ends with a sure grant only, and that it is not sure shows in no digest."""
    monkeypatch.setattr(module, "LEAVES_FROM", leaves_from)
    readmitted = [
        entry(ADMIT, ALICE, at=10),
        entry(PUT_OUT, CAROL, at=20),
        entry(RoleGrant(DAVE, "member"), ALICE, at=10),
    ]
    again = marked_once(ADMIT, 30)
    carol = hears(hears(founded(CAROL), readmitted, OURSELVES), [again])
    carol = replace(carol, pin=carol.pin.keeping({DAVE: 20}))
    alice = hears(hears(founded(ALICE), readmitted), [again], OURSELVES)
    assert carol.members.digests() == alice.members.digests()
    assert carol.is_evicted(DAVE)
    assert len(differing(alice, request(carol, knows_digests=True).subtree_hashes) or ()) == 1
    assert pulls(carol, alice)[0].role(DAVE) == "member"


def marked_once(variant: Variant, at: int) -> Transition:
    signature = sign_marked(DEVICES["alice"], signed_bytes(NETWORK, variant), Random(3))
    return Transition(at, variant, (ALICE,), (signature,))


@pytest.mark.heavy
def test_answers_pause() -> None:
    """Between two pauses an answer looks at a few hundred entries; what is equal is not looked at."""
    book = with_many(founded(CAROL), 10_000)
    steps, begun = [], 0
    with counted() as calls:
        for _ in answer(book, (), (), vouching=True):
            steps.append(calls.since(begun))
            begun = calls.count
        steps.append(calls.since(begun))
        begun = calls.count
        assert len(list(answer(book, (), book.members.digests(), vouching=True))) == 1
    assert calls.since(begun) < 1_000
    assert len(steps) >= 10_000 // module.ENTRIES_PER_PAUSE
    one_differs = (book.members.digests()[1], *book.members.digests()[1:])
    assert None in list(answer(book, (), one_differs, vouching=True)), "what is equal is passed by in slices, too"
    assert sum(steps) > 10_000, "the work was not seen"
    assert max(steps) < 10 * module.ENTRIES_PER_PAUSE


def test_counts_are_a_reason_to_ask_unless_they_brought_nothing() -> None:
    book = hears(founded(), [entry(ADMIT, ALICE)])
    assert not is_ahead(book, Advert(2, 1), None)
    assert is_ahead(book, Advert(3, 1), None)
    assert is_ahead(book, Advert(2, 2), None)
    assert not is_ahead(book, Advert(2, 2), Advert(2, 2))
    assert is_ahead(book, Advert(2, 3), Advert(2, 2))


# ── proofs ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_deny_holds_both_logs_if_they_fit() -> None:
    book = hears(founded(), [entry(ADMIT, ALICE), entry(PUT_OUT, CAROL, at=2000)])
    deny = denial(book, DAVE)
    assert (deny.reason, deny.transitions) == ("evicted", BASE)
    assert set(deny.member_log) == set(book.members.entries())


@pytest.mark.heavy
def test_a_deny_of_a_large_network_holds_what_proves_the_removal() -> None:
    book = hears(with_many(founded(), 5000), [entry(ADMIT, ALICE), entry(PUT_OUT, CAROL, at=2000)])
    deny = denial(book, DAVE)
    assert len(encode_frame(deny)) <= MAX_FRAME_BYTES
    assert deny.member_log == (entry(PUT_OUT, CAROL, at=2000), entry(ADMIT, ALICE))
    device = hears(founded(DAVE), [entry(ADMIT, ALICE)])
    assert hears(device, deny.member_log).is_evicted(DAVE)


def test_a_deny_leaves_out_what_has_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    book = hears(founded(), [entry(ADMIT, ALICE), entry(PUT_OUT, CAROL, at=2000)])
    monkeypatch.setattr(module, "MAX_FRAME_BYTES", book.log.nbytes + 128 + 400)
    assert denial(book, DAVE).member_log == (entry(PUT_OUT, CAROL, at=2000),)


# ── properties ────────────────────────────────────────────────────────────────────────────────────────────────────────

CHANGES = st.sampled_from([ADMIT, PUT_OUT, RoleGrant(ERIN, "member"), Evict(ERIN), Evict(MALLORY)])
ENTRIES = st.builds(
    lambda variant, author, at: entry(variant, author, at=at),
    CHANGES,
    st.sampled_from([ALICE, CAROL, BOB]),
    st.integers(0, 9),
)


@pytest.mark.unwatched
@pytest.mark.heavy
@settings(max_examples=examples(60), deadline=None)
@given(st.lists(st.lists(ENTRIES, max_size=6), min_size=2, max_size=4), st.booleans(), st.randoms())
def test_devices_that_ask_each_other_come_to_hold_the_same(parts: list[list[Transition]], ours: bool, rng: Any) -> None:
    """Partitions of any shape: whoever heard what, after everybody asked everybody twice all hold the same log."""
    # Not devices that the entries are about: of themselves these believe more (02 §24.3 no. 44).
    names = [FRANK, ALICE, CAROL, BOB]
    books = [hears(founded(me), part) for me, part in zip(names, parts, strict=False)]
    pairs = [(a, b) for a in range(len(books)) for b in range(len(books)) if a != b] * 2
    rng.shuffle(pairs)
    for a, b in [*pairs, *pairs]:
        books[a], _ = pulls(books[a], books[b], ours=ours)
    assert len({book.members.digests() for book in books}) == 1
    for device in (DAVE, ERIN, MALLORY):
        assert len({book.bench.verdict(device).membership for book in books}) == 1
    assert all(pulls(books[0], other)[0] is books[0] for other in books[1:]), "and nothing more is said"
