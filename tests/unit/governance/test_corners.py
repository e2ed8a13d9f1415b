"""Corners of single parts, and the index of the vectors: each section is tested here or named with who does it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from myownmesh.governance import branches as branches_module
from myownmesh.governance import signatures as signatures_module
from myownmesh.governance import sync as sync_module
from myownmesh.governance.adoption import hear_log
from myownmesh.governance.authoring import propose, sign
from myownmesh.governance.branches import Branches
from myownmesh.governance.hearing import hear_entries
from myownmesh.governance.intake import hear_propose
from myownmesh.governance.log import common_length
from myownmesh.governance.pending import pending
from myownmesh.governance.saved import load_book, pin_of, state_of
from myownmesh.governance.signatures import Checks, finish
from myownmesh.governance.state_file import BranchRow, Ours, split_tiers
from myownmesh.governance.succession import legacy
from myownmesh.governance.sync import denial, refuting
from myownmesh.governance.words import HEARSAY
from myownmesh.protocol.frames import NetworkStatePropose
from myownmesh.protocol.transitions import Evict, KindChange, RoleGrant, RoleRevoke, Transition
from support.governance import ALICE, BOB, CAROL, CHECKS, DAVE, ERIN, FRANK, MALLORY, NETWORK, book_of, entry, log_of
from support.governance import sign as signed

if TYPE_CHECKING:
    import pytest

    from myownmesh.governance.book import Book


NOW = 1_000_000
CLOSE, OPEN = entry(KindChange("closed"), ALICE), entry(KindChange("open"), ALICE)
BASE = (CLOSE, entry(RoleGrant(BOB, "owner"), ALICE), entry(RoleGrant(CAROL, "controller"), ALICE))
VECTORS = Path(__file__).parents[2] / "vectors" / "governance.json"

# Sections, and cases of sections, that are no matter of this room.
ELSEWHERE = {
    "format": "of the file itself",
    "about": "of the file itself",
    "constants": "of the file itself",
    "custody": "the custody room",
    "split_ids": "nobody: splits are heard, never authored",
    "roster_roots": "the roster",
    "roster_mirror": "the roster",
}


def test_every_section_of_the_vectors_is_run_or_named() -> None:
    sections = set(msgspec.json.decode(VECTORS.read_bytes()))
    texts = "".join(
        path.read_text("utf-8")
        for path in (*Path(__file__).parent.glob("*.py"), VECTORS.parents[1] / "support" / "governance.py")
    )
    run = set(re.findall(r'load\("governance", "(\w+)"\)', texts))
    assert run | ELSEWHERE.keys() == sections
    assert not run & ELSEWHERE.keys()


def holding(*entries: Transition, me: str = FRANK) -> Book:
    return book_of(entries or BASE, me, NOW)


def test_void_entries_of_a_reopened_network_come_along_and_change_nothing() -> None:
    planted = entry(RoleGrant(MALLORY, "owner"), MALLORY)
    book = hear_log(holding(CLOSE, OPEN), log_of([CLOSE, OPEN, planted, CLOSE]), HEARSAY, NOW)
    assert (book.found, book.why) == ("adopted", "SPENT"), "the close is the old one"
    assert book.book.log.entries == (CLOSE, OPEN, planted)
    assert dict(book.book.standing.roles) == {ALICE: "owner"}


def test_logs_that_close_again_with_another_first_signer_are_others() -> None:
    both = entry(KindChange("closed"), ALICE, BOB)
    swapped = Transition(both.at, both.variant, both.signers[::-1], both.signatures[::-1])
    first, second = log_of([*BASE, OPEN, both]), log_of([*BASE, OPEN, swapped])
    assert common_length(first, second) == 4


def test_an_owner_signs_a_proposal_about_a_seat() -> None:
    seat = RoleGrant(DAVE, "controller")
    frame = NetworkStatePropose("prop_1", seat, ERIN, NOW, signed(ERIN, seat))
    book = hear_propose(holding(me=ALICE), frame, ERIN, CHECKS, NOW).book
    again = hear_propose(book, frame, ERIN, CHECKS, NOW)
    assert (again.result, again.book) == ("pending", book)
    done = sign(book, "prop_1", signed(ALICE, seat), NOW, "prop_2")
    assert done.book.standing.role(DAVE) == "controller"
    assert done.entry == entry(seat, ERIN, ALICE, at=NOW)


def test_a_list_of_branches_that_all_refute_takes_none_that_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(branches_module, "MAX_BRANCHES", 2)
    held = holding(*BASE, entry(RoleGrant(DAVE, "controller"), BOB)).branch
    refuting = log_of([*BASE, entry(RoleRevoke(BOB), ALICE)])
    another = log_of([*BASE, entry(Evict(BOB), ALICE)])
    harmless = log_of([*BASE, entry(RoleGrant(ERIN, "controller"), ALICE)])
    full = Branches().with_log(held, refuting, NOW)
    assert full.with_log(held, harmless, NOW) is full
    assert full.with_log(held, another, NOW).logs == (another,)


def test_remembered_keys_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signatures_module, "REMEMBERED", 1)
    checks = Checks(NETWORK)
    assert all(checks.is_good(entry(Evict(DAVE), signer)) for signer in (ALICE, BOB, ALICE))


def test_a_branch_row_without_its_times_is_not_taken() -> None:
    book = holding()
    row = BranchRow((*BASE, entry(RoleRevoke(BOB), ALICE)), (1,))
    state = msgspec.structs.replace(state_of(book), ours=Ours(branches=(row,)))
    loaded = finish(load_book(NETWORK, FRANK, "open", state, pin_of(book), CHECKS, NOW))
    assert not loaded.book.branches.others


def test_reopenings_stay_in_the_governance_log_of_version_1() -> None:
    assert split_tiers([CLOSE, OPEN]) == ((CLOSE, OPEN), ())
    unsigned = Transition(1, KindChange("closed"), (), ())
    assert split_tiers([unsigned, entry(RoleRevoke(ALICE), BOB)]) == ((unsigned,), (entry(RoleRevoke(ALICE), BOB),))


def test_admits_of_devices_that_have_a_seat_need_no_heir() -> None:
    book = hear_entries(
        holding(me=ALICE), [entry(RoleGrant(BOB, "member"), CAROL)], HEARSAY, CHECKS, NOW, max_checks=9
    ).book
    assert legacy(book, CAROL) == ()


def test_a_deny_that_is_just_too_long_is_reduced(monkeypatch: pytest.MonkeyPatch) -> None:
    admit = RoleGrant(DAVE, "member")
    book = propose(holding(me=ALICE), admit, signed(ALICE, admit), "prop_1", NOW).book
    book = propose(book, Evict(DAVE), signed(ALICE, Evict(DAVE)), "prop_2", NOW).book
    monkeypatch.setattr(sync_module, "MAX_FRAME_BYTES", book.log.nbytes + 128 + 605)
    assert [each.variant for each in denial(book, DAVE).member_log] == [Evict(DAVE)]


def test_all_that_waits_is_one_list() -> None:
    seat = RoleGrant(DAVE, "controller")
    book = holding(me=ALICE)
    frame = NetworkStatePropose("prop_1", seat, ERIN, NOW, signed(ERIN, seat))
    book = hear_propose(book, frame, ERIN, CHECKS, NOW).book
    admit = RoleGrant(DAVE, "member")
    heard = [entry(admit, BOB, at=10), entry(Evict(DAVE), BOB, at=20), entry(admit, BOB, at=30)]
    book = hear_entries(book, heard, HEARSAY, CHECKS, NOW, max_checks=9).book
    fallen = hear_log(book, log_of([*BASE, entry(RoleRevoke(CAROL), ALICE)]), HEARSAY, NOW).book
    late = [entry(RoleGrant(ERIN, "member"), ALICE, at=1), entry(Evict(ERIN), CAROL, at=2)]
    fallen = hear_entries(fallen, late, HEARSAY, CHECKS, NOW, max_checks=9).book
    assert [(record.proposer, record.variant) for record in pending(fallen)] == [
        (ERIN, seat),
        (BOB, admit),
        (CAROL, Evict(ERIN)),
    ]
    assert [record.variant for record in state_of(fallen).pending] == [seat]


def test_a_peer_of_ours_is_sent_what_refutes_its_log() -> None:
    theirs = log_of([*BASE, entry(RoleGrant(MALLORY, "owner"), BOB)])
    book = hear_log(holding(), log_of([*BASE, entry(RoleRevoke(BOB), ALICE)]), HEARSAY, NOW).book
    frame = refuting(book, theirs)
    assert frame is not None
    assert frame.transitions == book.log.entries
    assert refuting(book, book.log) is None
