"""Logs of others: which become ours, which are refused, and which a person decides about."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from myownmesh.governance import adoption as module
from myownmesh.governance.adoption import (
    accept_replay,
    consent,
    hear_log,
    reconsider,
    refuse,
    stay,
    switch,
)
from myownmesh.governance.book import Book
from myownmesh.governance.branches import SETTLED_SECONDS, strike
from myownmesh.governance.hearing import hear_entries
from myownmesh.governance.log import EMPTY, BadLog
from myownmesh.governance.memory import Memory, undone
from myownmesh.governance.pins import Pin, founder_and_genesis, read_pin
from myownmesh.governance.rules import STRICT, Rules
from myownmesh.governance.sync import is_news, log_digest
from myownmesh.governance.words import HEARSAY, OURSELVES, Speaker
from myownmesh.protocol.json_words import JsonError
from myownmesh.protocol.modes import FullMesh, Star
from myownmesh.protocol.strict_json import dumps
from myownmesh.protocol.transitions import Evict, KindChange, RoleGrant, RoleRevoke, Split, TopologyChange
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
    V038,
    entries_of,
    entry,
    followers,
    log_of,
    merged,
)
from support.vectors import load

if TYPE_CHECKING:
    from collections.abc import Sequence

    from myownmesh.governance.adoption import (
        Adoption,
    )
    from myownmesh.governance.log import Log, Place
    from myownmesh.governance.standing import Standing
    from myownmesh.protocol.transitions import Transition, Variant

NOW = 1_000_000
CLOSE = entry(KindChange("closed"), ALICE)
OPEN = entry(KindChange("open"), ALICE)


def grant(target: str, role: str = "owner", by: str = ALICE, at: int = 1000) -> Transition:
    return entry(RoleGrant(target, role), by, at=at)  # type: ignore[arg-type]  # one of the words


def revoke(target: str, by: str = ALICE) -> Transition:
    return entry(RoleRevoke(target), by)


def hears(book: Book, *entries: Transition, speaker: Speaker = HEARSAY, now: int = NOW, **more: Any) -> Adoption:
    return hear_log(book, log_of(entries, book.rules), speaker, now, **more)


def founded(*entries: Transition, rules: Rules = STRICT, me: str = FRANK) -> Book:
    """A book that is pinned to Alice's founding and holds these entries."""
    log = log_of(entries, rules)
    book = Book(NETWORK, me, Pin(NETWORK).on(log_of([CLOSE])), rules)
    return hear_log(book, log, OURSELVES, NOW - 2 * SETTLED_SECONDS).book


def roles(book: Book) -> dict[str, str]:
    return dict(book.standing.roles)


# ── vectors ───────────────────────────────────────────────────────────────────────────────────────────────────────────

# What ours makes of each case, pinned to the local log's founder; `None` is a log that does not hold.
OURS = {
    "first-log": "claim",
    "extend": "adopted",
    "equal": "known",
    "shorter": "known",
    "rival-genesis-same-length": "refused",
    "rival-genesis-longer": "refused",
    "prefix-at-differs": "adopted",
    "prefix-signer-order-differs": "refused",  # another founder (FIX 8)
    "prefix-signer-set-differs": "adopted",  # Bob's signature adds nothing (FIX 8), so it is no fork
    "prefix-hub-order-differs": "adopted",  # the same signed bytes
    "invalid-extension": None,
    "junk-split-extension": "known",  # FIX 7
    "hijack-open-network": "claim",
    "silent-node-flips-open": "ignored",
    "unfounded-closed-node-flips-open": "ignored",
    "silent-node-closed-by-peer": "ignored",
    "concurrent-authors": None,  # Bob is no owner there; two real owners are below
}
# The switch that brings v0.3.8's outcome back, where a weakness has one.
SWITCHED = {
    "junk-split-extension": Rules(unauthorised_splits=True),
    "hijack-open-network": Rules(adopt_any_genesis=True),
    "first-log": Rules(adopt_any_genesis=True),
}
# Points that are closed for good (10 §5 rows 3, 4, 18).
NO_SWITCH = {
    "prefix-signer-order-differs", "prefix-hub-order-differs", "silent-node-flips-open",
    "unfounded-closed-node-flips-open", "silent-node-closed-by-peer",
}  # fmt: skip
CASES = {case["id"]: case for case in load("governance", "adoption")}


def outcome(case: dict[str, Any], rules: Rules) -> Adoption | None:
    local = log_of(entries_of(case["local"]), rules)
    book = Book(NETWORK, FRANK, Pin(NETWORK).on(local), rules, case.get("local_kind", "open"))
    if case["local"]:
        book = hear_log(book, local, OURSELVES, NOW).book
    try:
        incoming = log_of(entries_of(case["incoming"]), rules)
    except BadLog:
        return None
    return hear_log(book, incoming, HEARSAY, NOW)


@pytest.mark.parametrize("name", CASES)
def test_vectors(name: str) -> None:
    case = CASES[name]
    ours = outcome(case, STRICT)
    assert (None if ours is None else ours.found) == OURS[name]
    if name in SWITCHED:
        theirs = outcome(case, SWITCHED[name])
        assert theirs is not None
        assert theirs.found == "adopted"
        assert sorted(theirs.book.standing.owners) == case["owners_after"]
        assert theirs.book.kind == case["kind_after"]
    elif case.get("weakness"):
        assert name in NO_SWITCH
        everything_on = outcome(case, V038)
        assert ours is not None
        assert everything_on is not None
        assert everything_on.found == ours.found
    elif case["expect"] == "adopt":
        assert ours is not None
        assert sorted(ours.book.standing.owners) == case["owners_after"]


# ── founders ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_founder_that_nobody_agreed_to_waits_for_a_person() -> None:
    book = Book(NETWORK, FRANK)
    claimed = hears(book, CLOSE, grant(BOB), speaker=Speaker(BOB))
    assert (claimed.found, claimed.why) == ("claim", "FOUNDER-UNKNOWN")
    assert (claimed.book.kind, claimed.book.log) == ("open", EMPTY)
    (record,) = claimed.book.questions.shown(claimed.book.log)
    assert (record.proposer, record.variant, record.created_at) == (ALICE, KindChange("closed"), 1000)
    agreed = consent(claimed.book, record.id, NOW)
    assert (agreed.found, agreed.book.kind) == ("adopted", "closed")
    assert roles(agreed.book) == {ALICE: "owner", BOB: "owner"}
    assert agreed.book.pin.founder == ALICE
    assert record.id not in agreed.book.questions


def test_a_founder_who_was_turned_down_does_not_ask_again() -> None:
    claimed = hears(Book(NETWORK, FRANK), CLOSE).book
    (record,) = claimed.questions.shown(claimed.log)
    refused = refuse(claimed, record.id)
    assert (refused.questions.claims, refused.pin.refused) == ({}, (ALICE,))
    again = hears(refused, CLOSE, grant(BOB))
    assert (again.found, again.why, again.book) == ("refused", "FOUNDER-REFUSED", refused)


def test_claims_are_few_and_strangers_make_room() -> None:
    book = Book(NETWORK, FRANK)
    for founder, sender in zip((BOB, CAROL, DAVE, ERIN, MALLORY), "abcde", strict=True):
        book = hears(book, entry(KindChange("closed"), founder), speaker=Speaker(sender)).book
    assert [claim.founder for claim in book.questions.claims.values()] == [BOB, CAROL, DAVE, ERIN]
    book = hears(book, CLOSE, speaker=Speaker("f"), rostered=frozenset({ALICE})).book
    assert [claim.founder for claim in book.questions.claims.values()] == [CAROL, DAVE, ERIN, ALICE]
    same_sender = hears(book, entry(KindChange("closed"), BOB), speaker=Speaker("f")).book
    assert [claim.founder for claim in same_sender.questions.claims.values()] == [CAROL, DAVE, ERIN, ALICE]


def test_consent_to_a_second_founder_is_refused_once_one_is_pinned() -> None:
    book = hears(Book(NETWORK, FRANK), CLOSE, speaker=Speaker("a")).book
    book = hears(book, entry(KindChange("closed"), MALLORY), speaker=Speaker("b")).book
    first, second = book.questions.claims
    book = consent(book, first, NOW).book
    assert consent(book, second, NOW).why == "OTHER-FOUNDER"


def test_a_strangers_close_after_a_reopening_is_a_founding() -> None:
    book = founded(CLOSE, OPEN)
    assert book.kind == "open"
    claimed = hears(book, CLOSE, OPEN, entry(KindChange("closed"), MALLORY))
    assert (claimed.found, claimed.book.kind) == ("claim", "open")
    (record,) = claimed.book.questions.shown(claimed.book.log)
    assert record.proposer == MALLORY
    by_owner = hears(founded(CLOSE, grant(BOB), OPEN), CLOSE, grant(BOB), OPEN, entry(KindChange("closed"), BOB))
    assert (by_owner.found, by_owner.book.kind) == ("adopted", "closed")


@pytest.mark.parametrize("configured", ["open", "closed", "silent"])
def test_a_lost_state_leaves_a_pinned_network_closed(configured: Any) -> None:
    pin = founded(CLOSE, grant(BOB)).pin
    book = Book(NETWORK, FRANK, pin, STRICT, configured)
    assert book.kind == ("silent" if configured == "silent" else "closed")
    assert not book.is_founded
    if configured != "silent":
        assert hears(book, entry(KindChange("closed"), MALLORY)).why == "OTHER-FOUNDER"
        assert hears(book, CLOSE, grant(BOB)).found == "adopted"


def test_logs_without_a_close_are_for_nobody() -> None:
    assert hears(Book(NETWORK, FRANK), grant(MALLORY, by=MALLORY)).found == "ignored"
    assert hears(Book(NETWORK, FRANK, configured="silent"), CLOSE).found == "ignored"


# ── pins ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_pins_are_read_back_as_they_were_written() -> None:
    pin = founded(CLOSE, grant(BOB)).pin.refusing(MALLORY).keeping({DAVE: 7})
    assert (pin.founder, pin.entries, pin.kind) == (ALICE, 2, "closed")
    assert (pin.founder, pin.genesis) == founder_and_genesis(log_of([CLOSE]), NETWORK)
    assert read_pin(bytes(dumps(pin.to_json())), NETWORK) == pin
    later = {**pin.to_json(), "later": 1}
    assert read_pin(bytes(dumps(later)), NETWORK).to_json() == later
    assert pin.only_keeping({}).evicted == {}


@pytest.mark.parametrize("change", [{"version": 2}, {"network_id": "other"}, {"founder": 3}, {"evicted": {"a": -1}}])
def test_what_is_no_pin_of_this_network_is_refused(change: dict[str, Any]) -> None:
    value = {**Pin(NETWORK).to_json(), **change}
    with pytest.raises(JsonError):
        read_pin(bytes(dumps(value)), NETWORK)


def test_a_purge_leaves_that_this_key_signed_here() -> None:
    pin = founded(CLOSE).pin
    assert pin.stub() is None
    assert msgspec.structs.replace(pin, signed=True).stub() == Pin(NETWORK, signed=True)


def test_founders_that_were_turned_down_are_bounded() -> None:
    pin = Pin(NETWORK)
    for number in range(100):
        pin = pin.refusing(str(number))
    assert len(pin.refused) == 64
    assert pin.refused[-1] == "99"


# ── what is common stays ours ─────────────────────────────────────────────────────────────────────────────────────────


def test_the_own_beginning_stays_and_only_the_new_tail_is_taken() -> None:
    book = founded(CLOSE, grant(BOB, at=5))
    adopted = hears(book, entry(KindChange("closed"), ALICE, at=77), grant(BOB, at=88), grant(CAROL, "controller"))
    assert adopted.found == "adopted"
    assert adopted.book.log.entries == (CLOSE, grant(BOB, at=5), grant(CAROL, "controller"))
    assert adopted.book.branch.since == (NOW - 2 * SETTLED_SECONDS,) * 2 + (NOW,)
    assert adopted.book.pin.entries == 3


def test_the_form_with_fewer_cosigners_is_the_honest_one() -> None:
    poisoned = entry(RoleGrant(BOB, "owner"), ALICE, MALLORY, at=5)
    book = founded(CLOSE, poisoned)
    better = hears(book, CLOSE, grant(BOB))
    assert (better.found, better.why) == ("known", "BETTER-FORM")
    assert better.book.log.entries == (CLOSE, grant(BOB, at=5))
    assert hears(better.book, CLOSE, poisoned).book is better.book


def test_splits_of_strangers_are_skipped() -> None:
    split = entry(Split("junk", ()), MALLORY)
    book = founded(CLOSE)
    assert hears(book, CLOSE, split).book is book
    assert hears(book, split, CLOSE, split, grant(BOB)).book.log.entries == (CLOSE, grant(BOB))
    by_owner = entry(Split("n", ()), ALICE)
    assert hears(book, CLOSE, by_owner).book.log.entries == (CLOSE, by_owner)


# ── what is spent ─────────────────────────────────────────────────────────────────────────────────────────────────────

UNDONE = (CLOSE, grant(BOB), revoke(BOB))


@pytest.mark.parametrize(
    ("before", "again"),
    [
        (UNDONE, grant(BOB)),
        ((CLOSE, OPEN, CLOSE), OPEN),
        ((CLOSE, grant(BOB), revoke(BOB), entry(RoleGrant(BOB, "owner"), ALICE, MALLORY)), revoke(BOB)),
    ],
    ids=["grant", "reopen", "removal"],
)
def test_an_entry_that_was_undone_is_not_appended_again(before: tuple[Transition, ...], again: Transition) -> None:
    """`replayed-owner-grant`, `replayed-reopen`: refused, and with the switch they pass."""
    book = founded(*before)
    replayed = hears(book, *before, again)
    assert (replayed.found, replayed.why) == ("asked", "SPENT")
    assert replayed.book.log == book.log
    assert hears(founded(*before, rules=Rules(replayable_logs=True)), *before, again).found == "adopted"
    (record,) = replayed.book.questions.shown(book.log)
    assert record.variant == again.variant
    accepted = accept_replay(replayed.book, record.id, NOW)
    assert (accepted.found, len(accepted.book.log)) == ("adopted", len(before) + 1)


def test_who_could_sign_it_alone_vouches_for_a_repetition() -> None:
    book = founded(CLOSE, grant(CAROL, "controller"), grant(BOB), revoke(BOB))
    again = (*book.log.entries, grant(BOB))
    assert hears(book, *again, speaker=Speaker(CAROL, vouched=True)).found == "asked", "a controller makes no owner"
    assert hears(book, *again, speaker=Speaker(ALICE)).found == "asked", "an authority's link alone is no word"
    assert hears(book, *again, speaker=Speaker(ALICE, vouched=True)).found == "adopted"
    said = Speaker(ALICE, said=frozenset(grant(BOB).signatures))
    assert hears(book, *again, speaker=said).found == "adopted"


def test_what_comes_before_a_spent_entry_is_taken() -> None:
    book = founded(*UNDONE)
    heard = hears(book, *UNDONE, grant(DAVE, "controller"), grant(BOB), grant(ERIN))
    assert (heard.found, heard.why) == ("adopted", "SPENT")
    assert roles(heard.book) == {ALICE: "owner", DAVE: "controller"}


def test_half_of_a_losing_tail_is_spent() -> None:
    """24.3 no. 64: the grant without its undoing, which stood on a branch that lost."""
    book = founded(CLOSE, grant(CAROL))
    tail = (grant(BOB, by=CAROL), revoke(BOB, by=CAROL))
    book = replace(book, memory=book.memory.with_log(log_of([CLOSE, grant(CAROL), *tail])))
    assert hears(book, CLOSE, grant(CAROL), tail[0]).why == "SPENT"
    assert hears(book, CLOSE, grant(CAROL), *tail).found == "adopted", "with its undoing it changes nothing"


def test_denied_proposals_are_not_appended_after_a_promotion() -> None:
    """The proposer signed while it was nobody; promoted, its old signature would be enough (02 §24.3 no. 64)."""
    proposed = entry(RoleGrant(MALLORY, "owner"), DAVE)
    log = log_of([CLOSE, grant(DAVE), proposed])
    (digest,) = log.places[-1].signatures
    memory = Memory().with_record(digest, DAVE, proposed.variant, by_authority=False).spend([digest], "denied")
    book = replace(founded(CLOSE, grant(DAVE)), memory=memory)
    assert memory.refused(DAVE) == (proposed.variant,)
    assert hears(book, CLOSE, grant(DAVE), proposed).why == "SPENT"
    with_other = entry(RoleGrant(MALLORY, "owner"), DAVE, ALICE)
    assert hears(book, CLOSE, grant(DAVE), with_other).found == "adopted", "an owner signed it anew"


def test_memory_is_bounded_and_keeps_authorities_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    from myownmesh.governance import memory as memory_module

    monkeypatch.setattr(memory_module, "MAX_REMEMBERED", 3)
    memory = Memory()
    for number in range(5):
        memory = memory.with_record(b"%d" % number, DAVE, Evict(BOB), by_authority=number == 0)
    assert list(memory.seen) == [b"0", b"3", b"4"]
    for number in range(5, 9):
        memory = memory.with_record(b"%d" % number, DAVE, Evict(BOB), by_authority=True)
    assert list(memory.seen) == [b"6", b"7", b"8"]
    assert memory.with_record(b"8", DAVE, Evict(BOB), by_authority=False) is memory
    assert memory.spend([b"unheard of"], "denied") is memory
    assert not memory.is_spent(b"unheard of")
    spent = memory.spend([b"7"], "denied")
    assert spent.spend([b"7"], "skipped") is spent
    assert spent.is_spent(b"7", undone_again=True)


# ── room ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("by", [BOB, CAROL, DAVE, ERIN, MALLORY])
def test_nobody_moves_a_network_by_what_it_puts_before_the_founding(by: str) -> None:
    """While a network is open anybody may sign anything, so some such entry always has the smaller hash."""
    honest = (CLOSE, grant(CAROL, "controller"))
    poisoned = (grant(by, by=by), *honest)
    member = founded(*honest)
    heard = hears(member, *poisoned)
    assert heard.book.log is member.log
    assert not heard.book.questions.rivals, "nobody is asked about it either"
    joiner = hears(Book(NETWORK, FRANK, Pin(NETWORK).founded_by(ALICE)), *poisoned)
    assert joiner.found == "adopted"
    assert hears(joiner.book, *honest).book.log.entries == honest


def test_a_nearly_full_log_grows_only_by_what_owners_sign(monkeypatch: pytest.MonkeyPatch) -> None:
    held = (CLOSE, grant(CAROL, "controller"))
    monkeypatch.setattr(module, "OWNERS_ONLY_BYTES", log_of(held).nbytes)
    by_controller, by_owner = grant(DAVE, "controller", by=CAROL), grant(ERIN, "controller")
    book = founded(*held)
    full = hears(book, *held, by_controller)
    assert (full.found, full.why, full.book) == ("refused", "LOG-NEARLY-FULL", book)
    assert hears(book, *held, by_controller, by_owner).found == "adopted", "an owner built on it"
    cut = hears(book, *held, by_owner, by_controller)
    assert (cut.found, cut.book.log.entries) == ("adopted", (*held, by_owner))


@pytest.mark.parametrize(
    "filler", [grant(DAVE, "member"), entry(Evict(DAVE), ALICE), revoke(DAVE)], ids=["grant", "evict", "revoke"]
)
def test_nobody_fills_the_log_with_entries_of_the_member_log(filler: Transition) -> None:
    """An owner signs those by the thousand, and v0.3.8 would take them here."""
    book = founded(CLOSE)
    padded = hears(book, CLOSE, *[filler] * 3, grant(BOB))
    assert (padded.found, padded.why, padded.book) == ("refused", "MEMBER-TIER", book)
    assert hears(book, CLOSE, grant(BOB), filler).book.log.entries == (CLOSE, grant(BOB))
    once_seated = (CLOSE, grant(DAVE, "controller"), revoke(DAVE))
    assert hears(founded(*once_seated), *once_seated, entry(Evict(DAVE), ALICE)).found == "adopted"


@pytest.mark.parametrize(
    ("put_out", "let_in", "taken"),
    [
        (800, 900, False),  # let in again since, and seated then
        (300, None, False),  # seated long after it was put out
        (900, None, True),  # whose clock is behind by less than clocks may be
        (1100, None, True),
        (1100, 1200, True),  # put out with its seat, and let in again since: this device was away
    ],
)
def test_an_old_removal_does_not_take_the_seat_that_came_after_it(
    put_out: int, let_in: int | None, taken: bool
) -> None:
    seated = (CLOSE, grant(CAROL, "controller", at=1000))
    removal = entry(Evict(CAROL), ALICE, at=put_out)
    members = [removal, *([] if let_in is None else [grant(CAROL, "member", at=let_in)])]
    book = hear_entries(founded(*seated), members, HEARSAY, CHECKS, NOW, max_checks=9).book
    shown = hears(book, *seated, removal)
    assert (shown.found == "adopted") == taken
    assert (roles(shown.book).get(CAROL) == "controller") != taken
    if not taken:
        assert shown.why == "SPENT"
        [question] = shown.book.questions.replays
        assert CAROL not in roles(accept_replay(shown.book, question, NOW).book), "unless a person means it"


@pytest.mark.parametrize(("later", "heals"), [(grant(CAROL), True), (grant(BOB), False)])
def test_whoever_shows_a_seat_and_an_old_removal_at_once_to_a_joiner_is_believed(
    later: Transition, heals: bool
) -> None:
    """What no. 64 leaves open: without the member log nothing tells that the removal is from before the seat. Who had
    that log first is not moved. What the owner signs next brings the joiner back if its branch loses by hash."""
    seated = (CLOSE, grant(CAROL, "controller"))
    removal, let_in = entry(Evict(CAROL), ALICE, at=300), grant(CAROL, "member", at=900)
    joiner = hears(founded(CLOSE), *seated, removal).book
    joiner = hear_entries(joiner, [removal, let_in], HEARSAY, CHECKS, NOW, max_checks=9).book
    known = hear_entries(founded(CLOSE), [removal, let_in], HEARSAY, CHECKS, NOW, max_checks=9).book
    known = hears(known, *seated, removal).book
    assert [CAROL in roles(each) for each in (joiner, known)] == [False, True]
    joiner, known = (hears(each, *seated, later).book for each in (joiner, known))
    assert known.log.entries == (*seated, later)
    assert (joiner.log.entries == known.log.entries) == heals


def test_a_founder_has_its_seat_from_the_founding_whatever_was_signed_before() -> None:
    held = (CLOSE, grant(BOB))
    book = hear_entries(founded(*held), [entry(Evict(ALICE), BOB, at=5)], HEARSAY, CHECKS, NOW, max_checks=9).book
    assert hears(book, *held, entry(Evict(ALICE), BOB, at=5)).found == "adopted"


def test_a_removal_of_somebody_who_never_had_a_seat_is_no_old_one() -> None:
    book = hear_entries(founded(CLOSE), [entry(Evict(CAROL), ALICE, at=5)], HEARSAY, CHECKS, NOW, max_checks=9).book
    assert hears(book, CLOSE, entry(Evict(CAROL), ALICE, at=5)).why == "MEMBER-TIER"


# ── branches ──────────────────────────────────────────────────────────────────────────────────────────────────────────

TWO = (CLOSE, grant(BOB))
THREE = (*TWO, grant(CAROL))


def both(base: tuple[Transition, ...], a: Sequence[Transition], b: Sequence[Transition]) -> tuple[Book, Book]:
    """Two devices that held the same, then heard one branch each, and then the other's."""
    one = hears(founded(*base), *base, *a).book
    other = hears(founded(*base), *base, *b).book
    return hears(one, *base, *b).book, hears(other, *base, *a).book


def test_two_owners_who_act_apart_end_with_one_log() -> None:
    one, other = both(TWO, [grant(DAVE, "controller")], [grant(ERIN, "controller", by=BOB)])
    assert one.log.digest == other.log.digest
    [left] = (*one.branches.left, *other.branches.left)  # whoever changed its branch has something to look after
    assert not is_news(one, log_digest(left), len(left))
    assert not is_news(one, log_digest(one.log), len(one.log))
    assert not is_news(one, log_digest(log_of(TWO)), len(TWO))
    assert not is_news(one, "x", len(one.log))
    assert is_news(one, "a" * 26, 1)
    assert is_news(one, "a" * 26, len(one.log))
    for book in (one, other):
        assert book.branches.looked_after(left).left == ()
    assert len(one.branches.logs) == len(other.branches.logs) == 1
    assert not one.questions.rivals


def test_whoever_removes_an_author_of_the_other_branch_wins() -> None:
    """Bob was revoked and rewrites the past for whoever was away."""
    honest, rewritten = [revoke(BOB)], [grant(MALLORY, by=BOB), grant(DAVE, by=MALLORY)]
    one, other = both(TWO, honest, rewritten)
    assert roles(one) == roles(other) == {ALICE: "owner"}


def test_a_revoked_owner_who_puts_an_honest_entry_first_wins_nothing() -> None:
    x, removal = grant(DAVE, "controller"), revoke(BOB)
    one, other = both(TWO, [x, removal], [grant(MALLORY, by=BOB), x])
    assert MALLORY not in roles(one)
    assert one.log.digest == other.log.digest


def test_owners_who_removed_each_other_wait_for_a_person() -> None:
    one, other = both(TWO, [revoke(BOB)], [revoke(ALICE, by=BOB)])
    assert roles(one) == {ALICE: "owner"}
    assert roles(other) == {BOB: "owner"}
    for book in (one, other):
        ((question, rival),) = book.questions.rivals.items()
        (record,) = book.questions.shown(book.log)
        assert record.id == question
        switched = switch(book, question, NOW)
        assert (switched.found, switched.book.log) == ("switched", rival)
        assert switched.left == book.log
        assert not switched.book.questions.rivals
        kept = stay(book, question)
        assert not kept.questions.rivals
        assert reconsider(kept, NOW).book.log == book.log
        assert not reconsider(kept, NOW).book.questions.rivals, "not asked again"


def test_three_owners_in_a_ring_change_no_branch_for_ever() -> None:
    tails = [[revoke(BOB)], [revoke(CAROL, by=BOB)], [revoke(ALICE, by=CAROL)]]
    for order in itertools.permutations(tails):
        book = hears(founded(*THREE), *THREE, *order[0]).book
        seen = {book.log.digest}
        for _ in range(3):
            for tail in order:
                book = hears(book, *THREE, *tail).book
                seen.add(book.log.digest)
        assert len(seen) <= 2
        assert book.questions.rivals


def test_controllers_lose_against_an_owner() -> None:
    base = (CLOSE, grant(BOB), grant(CAROL, "controller"), grant(DAVE, "controller"))
    a, b = log_of([*base, revoke(CAROL)]), log_of([*base, revoke(DAVE, by=CAROL)])
    assert (strike(a, b), strike(b, a)) == (2, 0)
    one, other = both(base, [revoke(CAROL)], [revoke(DAVE, by=CAROL)])
    assert CAROL not in roles(one)
    assert one.log.digest == other.log.digest


def test_an_old_branch_is_left_by_hash_only_after_a_click() -> None:
    tails = ([grant(DAVE, "controller")], [grant(ERIN, "controller", by=BOB)])
    winner = both(TWO, *tails)[0].log
    loser = next(tail for tail in tails if log_of([*TWO, *tail]).digest != winner.digest)
    old = founded(*TWO, *loser)
    asked = hear_log(old, winner, HEARSAY, NOW)
    assert (asked.found, asked.book.log) == ("asked", old.log)
    shown = hear_log(old, winner, Speaker(loser[0].signers[0]), NOW)
    assert (shown.found, shown.book.log.digest) == ("switched", winner.digest), "its own author shows the other"


def test_the_fifth_switch_of_a_day_waits_for_a_click() -> None:
    book = hears(founded(*TWO), *TWO, grant(MALLORY, by=BOB)).book
    book = replace(book, branches=replace(book.branches, switches=(NOW - 4, NOW - 3, NOW - 2, NOW - 1)))
    assert hears(book, *TWO, revoke(BOB)).found == "asked"
    later = hears(book, *TWO, revoke(BOB), now=NOW + SETTLED_SECONDS)
    assert later.found == "switched"
    assert later.book.branches.switches == (NOW + SETTLED_SECONDS,)


def test_branches_are_bounded_and_those_that_refute_stay() -> None:
    book = hears(founded(*TWO), *TWO, revoke(BOB)).book
    for number, target in enumerate(itertools.product((DAVE, ERIN, FRANK, MALLORY, CAROL), ("owner", "controller"))):
        first = grant(target[0], target[1], by=BOB)
        for second in (DAVE, ERIN):
            book = hears(book, *TWO, first, grant(second, by=BOB), now=NOW + number).book
    assert len(book.branches.others) <= 11
    assert roles(book) == {ALICE: "owner"}


def test_a_longer_rival_replaces_its_beginning() -> None:
    book = hears(founded(*TWO), *TWO, revoke(BOB)).book
    book = hears(book, *TWO, grant(DAVE, by=BOB)).book
    book = hears(book, *TWO, grant(DAVE, by=BOB), grant(ERIN, by=DAVE)).book
    assert [len(log) for log in book.branches.logs] == [4]
    again = hears(book, *TWO, grant(DAVE, by=BOB)).book
    assert again is book


# ── what a change of seats does to the member log ─────────────────────────────────────────────────────────────────────


def test_a_demotion_keeps_the_removals_that_counted() -> None:
    from myownmesh.governance.hearing import hear_entries

    base = (CLOSE, grant(BOB), grant(CAROL, "controller"))
    book = hear_entries(founded(*base), [entry(Evict(DAVE), CAROL, at=9)], HEARSAY, CHECKS, NOW, max_checks=9).book
    assert book.is_evicted(DAVE)
    demoted = hears(book, *base, revoke(CAROL)).book
    assert demoted.pin.evicted == {DAVE: 9}
    assert demoted.is_evicted(DAVE)
    reopened = hears(demoted, *base, revoke(CAROL), OPEN).book
    assert not reopened.is_evicted(DAVE), "an open network puts nobody out"
    closed = hears(reopened, *base, revoke(CAROL), OPEN, entry(KindChange("closed"), BOB)).book
    assert (closed.kind, closed.is_evicted(DAVE)) == ("closed", True), "closed again, it is out again (24.3 no. 61)"


# ── properties ────────────────────────────────────────────────────────────────────────────────────────────────────────

AUTHORITIES = st.sampled_from([ALICE, BOB, CAROL])
CHANGES: st.SearchStrategy[Variant] = st.one_of(
    st.builds(RoleGrant, st.sampled_from([ALICE, BOB, CAROL, DAVE]), st.sampled_from(["controller", "owner"])),
    st.builds(RoleRevoke, AUTHORITIES),
    st.builds(Evict, AUTHORITIES),
)
TAILS = st.lists(st.builds(entry, CHANGES, AUTHORITIES), max_size=4)
BASE = (CLOSE, grant(BOB), grant(CAROL))


@pytest.mark.heavy
@settings(max_examples=examples(80), deadline=None)
@given(st.lists(TAILS, min_size=1, max_size=4), st.randoms())
def test_devices_without_a_click_agree_or_ask(tails: list[list[Transition]], rng: Any) -> None:
    """Whatever the order in which branches come: two devices that heard all of them and asked nobody hold one log."""
    logs = [followers(BASE, tail) for tail in tails]
    books = []
    for _ in range(2):
        order = logs * 2
        rng.shuffle(order)
        book = replace(founded(*BASE), branches=replace(founded(*BASE).branches, switches=()))
        for log in order:
            book = replace(hears(book, *log).book, memory=Memory())
            book = replace(book, branches=replace(book.branches, switches=()))
        books.append(book)
    one, other = books
    if (
        not one.questions.rivals
        and not other.questions.rivals
        and not (one.questions.replays or other.questions.replays)
    ):
        assert one.log.digest == other.log.digest
    for book in books:
        for log in logs:
            assert hears(book, *log[: len(BASE)]).book is book, "a beginning takes nothing back"


@settings(max_examples=examples(80), deadline=None)
@given(TAILS, st.data())
def test_no_replay_and_no_truncation_widens_a_log(tail: list[Transition], data: st.DataObject) -> None:
    """From entries that a log holds already, nothing can be appended that seats anybody anew. By a switch it can; after
    its merge only those have a seat again whom somebody put out that was put out as well (24.3 no. 46)."""
    log = followers(BASE, tail)
    book = founded(*log)
    old = data.draw(st.lists(st.sampled_from(log), max_size=3))
    try:
        incoming = log_of([*log[: data.draw(st.integers(1, len(log)))], *old])
    except BadLog:
        return
    heard_of = hear_log(book, incoming, Speaker(MALLORY, vouched=True), NOW)
    if heard_of.left is None:
        assert heard_of.book.standing.authorities <= book.standing.authorities
        return
    staying = sorted(heard_of.book.standing.authorities & book.standing.authorities)
    assert staying, "whoever put somebody out is still there"
    after = healed(heard_of.book, heard_of.left, staying)
    struck = {place.puts_out for place in heard_of.book.log.places}
    for device in after.standing.authorities - book.standing.authorities:
        removals = [place for place in book.log.places if place.puts_out == device]
        assert removals
        assert all(struck.issuperset(place.authors) for place in removals)


def healed(book: Book, left: Log, by: Sequence[str]) -> Book:
    """The log as an owner among these, or else a controller, has merged it."""
    return merged(book, left, max(by, key=lambda device: book.standing.role(device) == "owner"))


def test_a_removal_that_somebody_dropped_from_a_log_is_back_with_the_merge() -> None:
    """What 24.3 no. 46 leaves open: positions are not signed, so Carol can show the removal of Bob before what Bob did
    in honest times. Her own removal is missing there until a seated authority has merged; what she signs before that,
    only a person undoes."""
    honest = (*BASE, grant(DAVE, "controller", by=BOB), revoke(CAROL), revoke(BOB))
    shown = hears(founded(*honest), *BASE, revoke(BOB), speaker=Speaker(CAROL))
    assert (shown.found, shown.left) == ("switched", log_of(honest))
    assert roles(shown.book) == {ALICE: "owner", CAROL: "owner"}
    assert roles(merged(shown.book, log_of(honest), ALICE)) == {ALICE: "owner"}
    used = hears(shown.book, *BASE, revoke(BOB), revoke(ALICE, by=CAROL)).book
    assert (roles(used), len(used.questions.rivals)) == ({CAROL: "owner"}, 1)
    honest = (*BASE, revoke(ALICE, by=CAROL), revoke(CAROL, by=BOB))
    shown = hears(founded(*honest), *BASE, revoke(CAROL, by=BOB), speaker=Speaker(ALICE))
    after = merged(shown.book, log_of(honest), BOB)
    assert roles(after) == {ALICE: "owner", BOB: "owner"}, "nor does a merge, if who put her out was put out as well"


MIXED = st.lists(
    st.builds(
        entry,
        st.one_of(
            CHANGES,
            st.builds(KindChange, st.sampled_from(["open", "closed"])),
            st.builds(TopologyChange, st.just(FullMesh()) | st.builds(Star, st.sampled_from([ALICE, BOB]))),
        ),
        AUTHORITIES,
    ),
    max_size=9,
)


@settings(max_examples=examples(150), deadline=None)
@given(MIXED)
def test_what_a_log_took_back(tail: list[Transition]) -> None:
    """Against a plain reading: an entry is undone if at any later point what it brought about is not so."""
    log = log_of(followers(BASE, tail))
    ranks = {"member": 1, "controller": 2, "owner": 3}

    def holds(place: Place, standing: Standing) -> bool:
        match place.entry.variant:
            case KindChange(to=to):
                return standing.kind == to
            case TopologyChange(to=mode):
                return standing.topology == mode
            case RoleGrant(target=target, role=role):
                return place.void or standing.role(target) == role
        lowered = place.removes
        return lowered is None or ranks[standing.role(lowered)] < ranks[place.before.role(lowered)]

    expected = {
        digest
        for index, place in enumerate(log.places)
        if not all(holds(place, log.until(later).standing) for later in range(index + 1, len(log) + 1))
        for digest in place.signatures
    }
    assert undone(log) == expected
