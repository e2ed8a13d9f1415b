"""What a person is told of a network's governance: the log in sentences, who may what, what is amiss, what would be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest
from attrs import evolve
from msgspec.structs import asdict, replace

from myownmesh.governance import checkup
from myownmesh.governance.adoption import hear_log
from myownmesh.governance.authoring import Refused, deny
from myownmesh.governance.book import Book
from myownmesh.governance.branches import Branch
from myownmesh.governance.checkup import Surroundings, findings
from myownmesh.governance.entries import entry_key
from myownmesh.governance.foresight import Founding, is_guessable, outlook
from myownmesh.governance.hearing import hear_entries
from myownmesh.governance.history import Arrival, history
from myownmesh.governance.intake import hear_propose
from myownmesh.governance.memory import Memory
from myownmesh.governance.overview import authorities
from myownmesh.governance.pins import Pin
from myownmesh.governance.questions import Owed, Questions
from myownmesh.governance.remnant import offer
from myownmesh.governance.rules import Rules
from myownmesh.governance.signed_bytes import content_digest
from myownmesh.governance.succession import Keep
from myownmesh.governance.telling import Names, said
from myownmesh.governance.waiting import waits
from myownmesh.governance.words import HEARSAY, OURSELVES
from myownmesh.protocol.frames import NetworkStatePropose
from myownmesh.protocol.ids import display_id
from myownmesh.protocol.modes import FullMesh, Hubs, Ring, Star
from myownmesh.protocol.transitions import (
    Evict,
    KindChange,
    RoleGrant,
    RoleRevoke,
    Split,
    TopologyChange,
    Transition,
    UnknownVariant,
)
from support.governance import ALICE, BOB, CAROL, CHECKS, DAVE, ERIN, FRANK, MALLORY, NETWORK, book_of, entry, log_of

if TYPE_CHECKING:
    from myownmesh.protocol.transitions import Variant

NOW = 1_000_000
BASE = (entry(KindChange("closed"), ALICE), entry(RoleGrant(CAROL, "controller"), ALICE))
LABELS = {ALICE: "Anna", CAROL: "Carl", MALLORY: "Anna\x1b[2J\u202e"}
CALLED = Names(LABELS, FRANK)


def founded(*more: Transition, me: str = FRANK) -> Book:
    return book_of((*BASE, *more), me, NOW)


def hears(book: Book, *entries: Transition) -> Book:
    return hear_entries(book, entries, HEARSAY, CHECKS, NOW, max_checks=99).book


def told(book: Book) -> list[tuple[str, str]]:
    return [(line.state, line.sentence(CALLED)) for line in history(book, {})]


def test_of_one_second_the_newest_stands_first() -> None:
    one = entry(RoleGrant(DAVE, "controller"), ALICE, at=5000)
    two = entry(RoleRevoke(CAROL), ALICE, at=5000)
    assert [line.entry for line in history(founded(one, two), {})][:2] == [two, one]


# ── names and sentences ───────────────────────────────────────────────────────────────────────────────────────────────


def test_no_label_stands_without_an_id_and_its_suffix() -> None:
    suffix = display_id(ALICE).rsplit("-", 1)[1]
    assert CALLED(ALICE) == f"Anna ({ALICE[:8]}…-{suffix})"
    assert CALLED(BOB) == f"{BOB[:8]}…-{display_id(BOB)[-5:]}"
    assert CALLED(FRANK).startswith("this device (")
    assert CALLED(MALLORY).startswith("Anna[2J (")  # as Anna is called, and told from her by what stands behind
    assert CALLED("x\x1b[2J" * 50) == ascii(("x\x1b[2J" * 50)[:64])
    assert CALLED.all(()) == "nobody"


@pytest.mark.parametrize(
    ("variant", "words"),
    [
        (KindChange("closed"), "closes the network"),
        (KindChange("open"), "opens the network"),
        (RoleGrant(ALICE, "member"), f"lets {CALLED(ALICE)} in"),
        (RoleGrant(ALICE, "controller"), f"makes {CALLED(ALICE)} a controller"),
        (RoleGrant(ALICE, "owner"), f"makes {CALLED(ALICE)} an owner"),
        (RoleRevoke(ALICE), f"takes the role of {CALLED(ALICE)} away"),
        (Evict(ALICE), f"puts {CALLED(ALICE)} out"),
        (Split("new", (ALICE,)), "splits 'new' off, with 1 devices"),
        (TopologyChange(FullMesh()), "sets the shape to a full mesh"),
        (TopologyChange(Ring()), "sets the shape to a ring"),
        (TopologyChange(Star(ALICE)), f"sets the shape to a star around {CALLED(ALICE)}"),
        (TopologyChange(Hubs((ALICE, BOB))), f"sets the shape to hubs: {CALLED(ALICE)}, {CALLED(BOB)}"),
        (UnknownVariant("l\x1b", b"{}"), "says something that this release does not understand ('l\\x1b')"),
    ],
    ids=lambda value: "" if isinstance(value, str) else type(value).__name__,
)
def test_every_change_has_its_words(variant: Variant, words: str) -> None:
    assert said(variant, CALLED) == words


# ── the log ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_each_entry_says_whether_it_counts() -> None:
    book = founded(entry(RoleGrant(BOB, "controller"), ALICE, at=2000), entry(RoleRevoke(BOB), ALICE, at=3000))
    book = hears(
        book,
        entry(RoleGrant(DAVE, "member"), CAROL, at=4000),
        entry(Evict(DAVE), ALICE, at=5000),
        entry(RoleGrant(ERIN, "member"), BOB, at=6000),
    )
    assert told(book) == [
        (
            "author removed",
            f"{CALLED(BOB)} lets {CALLED(ERIN)} in — counts no more: whoever signed it has lost the role",
        ),
        ("in force", f"{CALLED(ALICE)} puts {CALLED(DAVE)} out — in force"),
        ("overruled", f"{CALLED(CAROL)} lets {CALLED(DAVE)} in — a newer entry about this device counts"),
        ("in force", f"{CALLED(ALICE)} takes the role of {CALLED(BOB)} away — in force"),
        ("undone", f"{CALLED(ALICE)} makes {CALLED(BOB)} a controller — undone by a later entry"),
        ("in force", f"{CALLED(ALICE)} makes {CALLED(CAROL)} a controller — in force"),
        ("in force", f"{CALLED(ALICE)} closes the network — in force"),
    ]
    assert [line.since for line in history(book, {}) if line.log == "governance"] == [NOW] * 4


def test_each_entry_says_when_and_through_whom_it_came() -> None:
    admit = entry(RoleGrant(DAVE, "member"), ALICE, at=4000)
    book = hears(founded(), admit)
    arrivals = {entry_key(admit): Arrival(NOW + 5, CAROL), entry_key(BASE[0]): Arrival(NOW - 5, "")}
    assert [(line.since, line.brought_by) for line in history(book, arrivals)] == [
        (NOW + 5, CAROL),
        (NOW, ""),
        (NOW - 5, ""),
    ]


def test_an_entry_of_two_authors_is_one_line() -> None:
    book = hears(founded(), entry(RoleGrant(DAVE, "member"), ALICE, CAROL))
    assert [sentence for state, sentence in told(book) if "lets" in sentence] == [
        f"{CALLED(ALICE)}, {CALLED(CAROL)} lets {CALLED(DAVE)} in — in force"
    ]


def test_an_entry_of_an_open_phase_is_void_and_own_ones_say_so() -> None:
    planted = entry(RoleGrant(MALLORY, "owner"), MALLORY)
    book = book_of([planted, *BASE], ALICE, NOW)
    assert [state for state, _ in told(book)] == ["in force", "in force", "void"]
    assert [line.own for line in history(book, {})] == [True, True, False]


def test_a_kept_removal_and_a_word_are_told() -> None:
    log = founded(entry(RoleGrant(BOB, "owner"), ALICE))
    book = hear_entries(log, [entry(Evict(DAVE), CAROL, at=4000)], OURSELVES, CHECKS, NOW, max_checks=9).book
    (line, *_) = history(book, {})
    assert (line.own, line.through) == (True, ())
    after = log_of((*book.log.entries, entry(RoleRevoke(CAROL), ALICE)))
    book = hear_log(book, after, OURSELVES, NOW).book
    assert told(book)[0] == (
        "kept",
        f"{CALLED(CAROL)} puts {CALLED(DAVE)} out — in force, although whoever signed it has lost the role",
    )


def test_what_waits_says_for_what() -> None:
    old, gone = entry(RoleGrant(DAVE, "member"), ALICE, at=1), entry(Evict(DAVE), ALICE, at=2)
    later = Transition(NOW, UnknownVariant("later", b'{"kind":"later"}'), (ALICE,), ("a" * 103,))
    book = hears(
        founded(),
        old,
        gone,
        msgspec.structs.replace(old, at=3),
        entry(RoleGrant(ERIN, "member"), ALICE, at=NOW + 10**6),
        entry(RoleGrant(ERIN, "member"), MALLORY),
        later,
    )
    waiting = [sentence.split(" — ")[1] for state, sentence in told(book) if state == "waits"]
    assert [text.split(" (")[0] for text in waiting] == [
        "waits: its time is more than a day ahead",
        "kept for devices of a later release",
        "unchecked: nobody here knows who signed it",
        "waits for a decision here",
    ]


def test_a_spent_governance_entry_is_a_question_and_a_line_of_its_own_log() -> None:
    grant, revoke = entry(RoleGrant(BOB, "owner"), ALICE), entry(RoleRevoke(BOB), ALICE)
    book = founded(grant, revoke)
    book = hear_log(book, log_of((*book.log.entries, grant)), HEARSAY, NOW).book
    [question] = book.questions.replays
    [line] = [line for line in history(book, {}) if line.state == "waits"]
    assert (line.log, question in line.why) == ("governance", True)


def test_what_stands_on_another_branch_is_told_once() -> None:
    base = founded(TWO_OWNERS)
    ours = log_of((*base.log.entries, entry(RoleGrant(DAVE, "controller"), ALICE)))
    rivals = [
        log_of((*base.log.entries, entry(RoleRevoke(ALICE), BOB), *more))
        for more in ((), (entry(RoleGrant(ERIN, "owner"), BOB),))
    ]
    book = hear_log(base, ours, OURSELVES, NOW).book
    for rival in rivals:
        book = hear_log(book, rival, HEARSAY, NOW).book
    held = {place.identity for place in book.log.places}
    elsewhere = [line for line in history(book, {}) if line.state == "other branch"]
    expected = {place.identity for branch in (ours, *rivals) for place in branch.places} - held
    assert len(elsewhere) == len(expected) > 0
    assert all(line.since == NOW for line in elsewhere)


# ── who ───────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_founder_got_what_it_signed_before_it_was_an_authority() -> None:
    book = founded(me=ALICE)
    place, *_ = book.log.places
    memory = Memory().with_record(place.signatures[0], ALICE, place.entry.variant, by_authority=False)
    assert memory.with_log(book.log).refused(ALICE) == (place.entry.variant,), "remembered as a stranger's record"
    assert [each.refused for each in authorities(replace(book, memory=memory.with_log(book.log)))] == [(), ()]


def test_owners_stand_before_controllers_each_with_what_was_refused_it() -> None:
    book = founded(me=ALICE)
    wish = entry(RoleGrant(BOB, "owner"), CAROL)
    frame = NetworkStatePropose("prop_1", wish.variant, CAROL, NOW, wish.signatures[0])
    book = hear_propose(book, frame, CAROL, CHECKS, NOW, rostered=True).book
    assert [each.refused for each in authorities(book)] == [(), ()]
    book = deny(book, "prop_1", "s" * 103, NOW).book
    assert [(each.device, each.role, each.refused) for each in authorities(book)] == [
        (ALICE, "owner", ()),
        (CAROL, "controller", (RoleGrant(BOB, "owner"),)),
    ]


# ── doctor ────────────────────────────────────────────────────────────────────────────────────────────────────────────

NOTHING = Surroundings()
TWO_OWNERS = entry(RoleGrant(BOB, "owner"), ALICE)


def codes(book: Book, around: Surroundings = NOTHING) -> list[str]:
    found = findings(book, around, CALLED)
    assert all(finding.text and finding.help for finding in found)
    return [finding.code for finding in found]


def test_nothing_is_amiss_in_a_sound_network_nor_in_an_open_one() -> None:
    assert codes(founded(TWO_OWNERS)) == []
    assert codes(Book(NETWORK, FRANK), Surroundings(rostered=[DAVE])) == []


def test_a_closed_network_without_a_founder_is_told() -> None:
    assert codes(Book(NETWORK, FRANK, configured="closed")) == ["unfounded"]
    lost = Book(NETWORK, FRANK, Pin(NETWORK).on(log_of(BASE)), lost=2)
    assert codes(lost) == ["lost"]
    part = hear_log(lost, log_of(BASE[:1]), OURSELVES, NOW).book
    assert codes(part) == ["lost", "single_owner"]
    assert "pending" in findings(part, NOTHING, CALLED)[0].help
    assert codes(offer(part)) == ["lost", "single_owner", "questions"]


def test_a_device_that_was_put_out_says_by_whom() -> None:
    """Its doctor had nothing to say: all that it knows of the network was well."""
    book = hears(founded(TWO_OWNERS), entry(Evict(FRANK), ALICE))
    [finding] = findings(book, NOTHING, CALLED)
    assert (finding.code, CALLED(ALICE) in finding.text) == ("put_out", True)
    kept = replace(founded(TWO_OWNERS), pin=Pin(NETWORK).keeping({FRANK: 9}))
    [finding, *_] = findings(kept, NOTHING, CALLED)
    assert (finding.code, "an authority that is gone" in finding.text) == ("put_out", True)


def test_the_number_of_owners_is_told() -> None:
    assert codes(founded()) == ["single_owner"]
    alone = founded()
    unseated = evolve(alone.log, standing=alone.standing.unseated(ALICE))
    assert codes(replace(alone, branch=replace(alone.branch, log=unseated))) == ["ownerless"]


def test_a_fork_is_told() -> None:
    base = founded(TWO_OWNERS)
    rival = log_of((*base.log.entries, entry(RoleRevoke(BOB), ALICE)))
    ours = log_of((*base.log.entries, entry(RoleRevoke(ALICE), BOB)))
    book = hear_log(hear_log(base, ours, OURSELVES, NOW).book, rival, HEARSAY, NOW).book
    assert codes(book)[:2] == ["single_owner", "fork"]


def test_waiting_questions_and_kept_removals_are_told() -> None:
    old, gone = entry(RoleGrant(DAVE, "member"), ALICE, at=1), entry(Evict(DAVE), ALICE, at=2)
    book = hears(founded(TWO_OWNERS), old, gone, msgspec.structs.replace(old, at=3))
    assert codes(book) == ["questions"]
    book = hears(founded(TWO_OWNERS, me=ALICE), entry(Evict(DAVE), CAROL, at=4))
    after = log_of((*book.log.entries, entry(RoleRevoke(CAROL), ALICE)))
    assert codes(hear_log(book, after, OURSELVES, NOW).book) == ["kept_removals"]


def test_what_lies_around_the_book_is_told() -> None:
    book = hears(founded(TWO_OWNERS), entry(RoleGrant(DAVE, "member"), ALICE))
    assert codes(book, Surroundings(rostered=[ALICE, DAVE, FRANK])) == []
    assert codes(book, Surroundings(rostered=[ERIN])) == ["unsigned_rows"]
    assert codes(book, Surroundings(v038=[DAVE])) == []
    assert codes(book, Surroundings(v038=[BOB])) == ["v038_authorities"]
    assert codes(book, Surroundings(left_behind=[DAVE])) == ["v038_behind"]
    assert codes(book, Surroundings(ahead_s=299.0)) == []
    for off in (-301.0, 301.0):
        [finding] = findings(book, Surroundings(ahead_s=off), CALLED)
        assert ("ahead" if off > 0 else "behind") in finding.text


def test_switches_that_are_on_are_named() -> None:
    for name in asdict(Rules()):
        book = replace(founded(TWO_OWNERS), rules=Rules(**{name: True}))
        [finding] = findings(book, NOTHING, CALLED)
        assert (finding.code, f"`{name}` is on" in finding.text, name in finding.help) == ("switches", True, True)
    assert codes(replace(founded(TWO_OWNERS), rules=Rules(True, True))) == ["switches"] * 2


@pytest.mark.parametrize("owners_at", [10**6, 1])
def test_a_log_that_fills_up_is_told(monkeypatch: pytest.MonkeyPatch, owners_at: int) -> None:
    monkeypatch.setattr("myownmesh.governance.authoring.WARN_BYTES", 10)
    monkeypatch.setattr(checkup, "OWNERS_BYTES", owners_at)
    [finding] = findings(founded(TWO_OWNERS), NOTHING, CALLED)
    assert finding.code == "log_nearly_full"
    assert ("only owners can still" in finding.text) == (owners_at == 1)


def test_a_member_log_that_is_full_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    book = hears(founded(TWO_OWNERS), entry(RoleGrant(DAVE, "member"), ALICE))
    monkeypatch.setattr(checkup, "MAX_COPIES", 1)
    for left_out in (0, 7):
        full = replace(book, members=evolve(book.members, left_out=left_out))
        [finding] = findings(full, NOTHING, CALLED)
        assert (finding.code, "counts as put out" in finding.text) == ("member_log_full", left_out > 0)


# ── before it is signed ───────────────────────────────────────────────────────────────────────────────────────────────


def test_what_an_eviction_would_do() -> None:
    book = hears(
        founded(me=ALICE),
        entry(RoleGrant(DAVE, "member"), CAROL, at=10),
        entry(Evict(ERIN), CAROL, at=20),
        entry(RoleGrant(FRANK, "member"), ALICE, at=30),
    )
    would = outlook(book, Evict(CAROL), [CAROL, DAVE])
    assert (would.effective, would.holds_already, would.waits_for) == (True, False, ())
    assert would.ends == (CAROL,)
    assert (would.falling_admits, would.falling_removals) == ((DAVE,), (ERIN,))
    assert would.unreachable == (FRANK,)
    assert would.owners == (ALICE,)
    assert outlook(book, RoleRevoke(CAROL), [CAROL]).ends == ()
    assert outlook(book, Evict(DAVE), [DAVE]).ends == (DAVE,)
    assert outlook(book, RoleGrant(BOB, "owner"), []).owners == tuple(sorted([ALICE, BOB]))


def test_a_printed_key_has_no_device_that_could_be_unreachable() -> None:
    printed = entry(RoleGrant(BOB, "owner"), ALICE)
    book = founded(printed, me=CAROL)
    assert outlook(book, Evict(DAVE), []).unreachable == (ALICE,), "whoever founds is a device, heard or not"
    assert outlook(replace(book, heard={BOB: NOW}), Evict(DAVE), []).unreachable == tuple(sorted([ALICE, BOB]))
    let_in = hears(book, entry(RoleGrant(BOB, "member"), ALICE, at=10))
    assert outlook(let_in, Evict(DAVE), []).unreachable == tuple(sorted([ALICE, BOB]))


def test_what_a_reopening_would_do_and_what_holds_already() -> None:
    book = hears(founded(me=ALICE), entry(Evict(DAVE), CAROL, at=20))
    assert outlook(book, KindChange("open"), []).let_in == (DAVE,)
    already = outlook(book, RoleGrant(CAROL, "controller"), [])
    assert (already.holds_already, already.owners) == (True, (ALICE,))


def test_who_decides_nothing_is_told_whom_it_would_wait_for() -> None:
    would = outlook(founded(me=FRANK), Evict(DAVE), [])
    assert (would.effective, would.waits_for) == (False, tuple(sorted([ALICE, CAROL])))


def test_what_would_be_refused_is_refused_dry() -> None:
    with pytest.raises(Refused, match="last owner"):
        outlook(founded(me=ALICE), RoleRevoke(ALICE), [])


def test_whom_an_author_let_in_falls_or_is_signed_in_anew_as_a_person_says() -> None:
    book = hears(
        founded(me=ALICE),
        entry(RoleGrant(DAVE, "member"), CAROL, at=10),
        entry(RoleGrant(ERIN, "member"), CAROL, at=30),
    )

    def anew(keep: Keep | None) -> tuple[str, ...]:
        would = outlook(book, Evict(CAROL), [], keep=keep)
        assert set(would.falling_admits) == {DAVE, ERIN}
        return would.signed_anew

    assert set(anew(None)) == {DAVE, ERIN}
    assert anew(Keep(frozenset())) == ()
    assert anew(Keep(frozenset({ERIN}))) == (ERIN,)
    assert anew(Keep(before=20)) == (DAVE,)
    by_member = outlook(replace(book, me=FRANK), Evict(CAROL), [])
    assert (set(by_member.falling_admits), by_member.signed_anew) == ({DAVE, ERIN}, ())


def test_before_a_promotion_what_was_once_refused_is_shown() -> None:
    book = founded(me=ALICE)
    wish = entry(RoleGrant(BOB, "owner"), CAROL)
    frame = NetworkStatePropose("prop_1", wish.variant, CAROL, NOW, wish.signatures[0])
    book = hear_propose(book, frame, CAROL, CHECKS, NOW, rostered=True).book
    book = deny(book, "prop_1", "s" * 103, NOW).book
    assert outlook(book, RoleGrant(CAROL, "owner"), []).refused == (wish.variant,)
    assert outlook(book, RoleGrant(CAROL, "member"), []).refused == (), "that is no promotion"
    assert outlook(book, Evict(CAROL), []).refused == ()


def test_a_founding_names_what_it_finds() -> None:
    planted = entry(RoleGrant(MALLORY, "owner"), MALLORY)
    opened = log_of([planted])
    book = Book(NETWORK, ALICE, branch=Branch(opened, (NOW,)))
    founding = outlook(book, KindChange("closed"), [], rostered=[ALICE, DAVE]).founding
    assert founding == Founding(unsigned=(DAVE,), planted=(MALLORY,), is_guessable=True, signed_before=False)
    signed = replace(book, pin=msgspec.structs.replace(book.pin, signed=True))
    found = outlook(signed, KindChange("closed"), []).founding
    assert found is not None
    assert found.signed_before
    assert outlook(founded(me=ALICE), KindChange("open"), []).founding is None
    reopened = founded(entry(KindChange("open"), ALICE), me=ALICE)
    assert outlook(reopened, KindChange("closed"), []).founding is None, "closing again founds nothing"


@pytest.mark.parametrize(
    ("network_id", "guessable"),
    [("family", True), ("fleet-1", True), ("home_2", True), ("mesh2024", True), ("a1b2c3", True), ("k3v9x2qa", False)],
)
def test_a_name_that_a_person_gave_can_be_guessed(network_id: str, guessable: bool) -> None:
    assert is_guessable(network_id) is guessable


# ── what waits ────────────────────────────────────────────────────────────────────────────────────────────────────────


def waiting(book: Book) -> list[tuple[str, str]]:
    found = waits(book, CALLED)
    assert all(each.sign and each.deny and each.digest for each in found)
    return [(each.sort, each.text) for each in found]


def test_a_proposal_says_who_wants_what_and_who_can_decide_it() -> None:
    book = founded(me=ALICE)
    wish = entry(RoleGrant(BOB, "owner"), CAROL)
    frame = NetworkStatePropose("prop_1", wish.variant, CAROL, NOW, wish.signatures[0])
    book = hear_propose(book, frame, CAROL, CHECKS, NOW, rostered=True).book
    assert waiting(book) == [("proposal", f"{CALLED(CAROL)} wants: makes {CALLED(BOB)} an owner")]
    [each] = waits(book, CALLED)
    assert (each.decides, each.mine) == ((ALICE,), False)
    assert each.digest == content_digest(NETWORK, wish.variant)
    assert [each.mine for each in waits(replace(book, me=CAROL), CALLED)] == [True]


def test_every_question_says_what_its_answers_do() -> None:
    claim = hear_log(Book(NETWORK, FRANK), log_of(BASE), HEARSAY, NOW).book
    would_be = f"{CALLED(ALICE)} closes the network, and would be its founder"
    assert waiting(claim)[0] == ("founder", f"{would_be}; nobody here approved it by hand")

    old, gone = entry(RoleGrant(DAVE, "member"), ALICE, at=1), entry(Evict(DAVE), ALICE, at=2)
    again = hears(founded(TWO_OWNERS), old, gone, msgspec.structs.replace(old, at=3))
    assert [sort for sort, _ in waiting(again)] == ["replay"]

    base = founded(TWO_OWNERS)
    rival = log_of((*base.log.entries, entry(RoleRevoke(BOB), ALICE)))
    ours = log_of((*base.log.entries, entry(RoleRevoke(ALICE), BOB)))
    fork = hear_log(hear_log(base, ours, OURSELVES, NOW).book, rival, HEARSAY, NOW).book
    [(sort, text)] = waiting(fork)
    assert (sort, text.endswith(f"{CALLED(ALICE)} takes the role of {CALLED(BOB)} away")) == ("branch", True)

    lost = Book(NETWORK, FRANK, Pin(NETWORK).on(log_of(BASE)), lost=2)
    [(sort, text)] = waiting(offer(hear_log(lost, log_of(BASE[:1]), OURSELVES, NOW).book))
    assert (sort, "1 of 2 entries back" in text) == ("remnant", True)


def test_who_is_asked_about_a_founder_is_told_when_it_was_approved_and_who_is_called_the_same() -> None:
    """24.3 no. 56: a stranger takes the name of a device that a person here knows."""
    claim = hear_log(Book(NETWORK, FRANK), log_of(BASE), HEARSAY, NOW).book
    names = Names({ALICE: "Anna", MALLORY: " anna\u202e", BOB: "", CAROL: "Carl"}, FRANK)
    [founder] = waits(claim, names, {ALICE: "2026-01-31", MALLORY: "today"})
    assert founder.text.endswith(f"; approved by you on 2026-01-31; beware, called the same: {names(MALLORY)}")
    stranger = log_of([entry(KindChange("closed"), MALLORY)])
    [founder] = waits(hear_log(Book(NETWORK, FRANK), stranger, HEARSAY, NOW).book, names, {ALICE: "2026-01-31"})
    assert founder.text.endswith(f"; nobody here approved it by hand; beware, called the same: {names(ALICE)}")
    assert (names.alike(BOB), names.alike(CAROL)) == ((), ())


def test_what_has_lost_its_author_and_what_a_lock_holds_back_is_told() -> None:
    after = (*BASE, TWO_OWNERS, entry(RoleRevoke(CAROL), ALICE))
    book = hears(book_of(after, ALICE, NOW), entry(RoleGrant(DAVE, "member"), ALICE, at=1))
    book = hears(book, entry(Evict(DAVE), CAROL, at=4))
    assert [sort for sort, _ in waiting(book)] == ["fallen"]
    owing = replace(founded(me=ALICE), questions=Questions().owing(NETWORK, Owed(RoleRevoke(CAROL))))
    assert waiting(owing) == [
        ("owed", f"this device would sign by itself, but for the lock: takes the role of {CALLED(CAROL)} away")
    ]
