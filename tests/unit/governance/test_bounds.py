"""The table of bounds with its real numbers, each flooded beyond (spec 02 §24.3 nos. 49, 58).

Other tests of this folder flood the same bounds with smaller numbers, from every side.
"""

from __future__ import annotations

from collections import Counter
from hashlib import sha256, sha512
from typing import TYPE_CHECKING

import msgspec
import pytest
from msgspec.structs import replace

from myownmesh.engine import government
from myownmesh.governance import (
    adoption,
    authoring,
    branches,
    entries,
    judging,
    log,
    member_log,
    memory,
    pins,
    proposals,
    questions,
    signatures,
)
from myownmesh.governance.adoption import hear_log
from myownmesh.governance.authoring import Refused, draft, propose
from myownmesh.governance.branches import Branch, Branches
from myownmesh.governance.hearing import ENTRIES_PER_SLICE, hear_entries
from myownmesh.governance.judging import DAY_SECONDS
from myownmesh.governance.memory import Memory
from myownmesh.governance.proposals import Proposals
from myownmesh.governance.questions import Questions, Replay
from myownmesh.governance.records import Proposal
from myownmesh.governance.rules import STRICT
from myownmesh.governance.signatures import Checks, finish
from myownmesh.governance.sync import answer, denial
from myownmesh.governance.words import HEARSAY, OURSELVES
from myownmesh.identity import Identity
from myownmesh.identity.keys import SIGNATURE_BYTES
from myownmesh.mesh import governance_keeping
from myownmesh.protocol import base32
from myownmesh.protocol.codec import encode_frame
from myownmesh.protocol.frames import RosterEntries
from myownmesh.protocol.limits import MAX_FRAME_BYTES
from myownmesh.protocol.transitions import Evict, KindChange, RoleGrant, RoleRevoke, Transition
from support.governance import ALICE, BOB, CAROL, DAVE, ERIN, MALLORY, NETWORK, book_of, entry, log_of, sign

if TYPE_CHECKING:
    from collections.abc import Sequence

    from myownmesh.governance.book import Book
    from myownmesh.protocol.transitions import Variant

NOW = 1_000_000
BASE = (entry(KindChange("closed"), ALICE), entry(RoleGrant(CAROL, "controller"), ALICE))
DEVICES = [Identity.from_seed(number.to_bytes(32, "big")).device_id for number in range(300)]
FALSE = "a" * 103
"""A signature in its form."""


@pytest.mark.parametrize(
    ("bound", "value"),
    [
        (branches.MAX_BRANCHES, 12),
        (branches.MAX_STAYED, 64),
        (questions.MAX_DISMISSED, 256),
        (judging.MAX_HELD, 256),
        (judging.MAX_ASIDE, 256),
        (questions.MAX_REPLAYS, 32),
        (memory.MAX_REMEMBERED, 4096),
        (member_log.MAX_COPIES, 20_000),
        (proposals.MAX_PER_PROPOSER, 32),
        (proposals.MAX_RECORDS, 256),
        (questions.MAX_CLAIMS, 4),
        (signatures.FAILED_CHECKS, 50),
        (entries.MAX_ENTRY_BYTES, 2048),
        (adoption.OWNERS_ONLY_BYTES, 48_000),
        (authoring.WARN_BYTES, 32_000),
        (authoring.REMOVALS_AND_KIND_BYTES, 57_000),
        (authoring.REMOVALS_BYTES, 61_500),
        (authoring.LAST_BYTES, 64_000),
        (log.MAX_LOG_BYTES, 65_000),
        (proposals.LIFETIME_SECONDS, 30 * DAY_SECONDS),
        (proposals.MAX_CONTENTS, 1024),
        (proposals.MAX_CONTENTS_PER_PROPOSER, 64),
        (pins.MAX_REFUSED, 64),
        (governance_keeping.SAVE_GAP_S, 1.0),
    ],
)
def test_the_numbers_of_the_table(bound: float, value: float) -> None:
    assert bound == value


def test_all_that_a_network_signs_fits_a_frame() -> None:
    assert log.MAX_LOG_BYTES < MAX_FRAME_BYTES
    assert government.MAX_JOBS_OF_ONE * signatures.CHECKS_PER_SLICE < member_log.MAX_COPIES


def test_junk_of_strangers_takes_no_place_and_costs_no_check() -> None:
    held = book_of(BASE, BOB)
    held = hear_entries(
        held, [entry(RoleGrant(DAVE, "member"), ALICE)], OURSELVES, Checks(NETWORK), NOW, max_checks=9
    ).book
    checks = Checks(NETWORK)
    junk = [Transition(NOW, Evict(DAVE), (device,), (FALSE,)) for device in DEVICES]
    book = held
    while junk:
        heard = hear_entries(book, junk, HEARSAY, checks, NOW, max_checks=30)
        book, junk = heard.book, list(heard.rest)
    assert checks.count == 0, "a signer is looked at before a signature"
    assert len(book.aside.strangers) == judging.MAX_ASIDE
    assert book.members is held.members
    assert book.role(DAVE) == "member"


@pytest.mark.parametrize(
    "bad",
    [
        Transition(NOW, Evict(DAVE), (MALLORY,), (FALSE,)),
        Transition(NOW, RoleGrant(DAVE, "owner"), (CAROL,), (FALSE,)),
        Transition(NOW, Evict("nobody"), (ALICE,), (FALSE,)),
        Transition(NOW, Evict(DAVE), (ALICE,), ("A" * 103,)),
        Transition(NOW, Evict(DAVE), (ALICE, *DEVICES[:20]), (FALSE,) * 21),
        Transition(NOW, Evict(DAVE), (ALICE,), ()),
    ],
    ids=["a stranger's", "above the member log", "about nobody", "in no canonical form", "too long", "unsigned"],
)
def test_signer_role_and_size_are_looked_at_before_any_signature(bad: Transition) -> None:
    checks = Checks(NETWORK)
    heard = hear_entries(book_of(BASE, BOB), [bad], HEARSAY, checks, NOW, max_checks=30)
    assert checks.count == 0
    assert not heard.failed, "nobody is charged for what was not checked"
    assert heard.book.members.count == 0


@pytest.mark.parametrize(
    ("bad", "rule"),
    [
        ([Transition(NOW, RoleGrant(DAVE, "owner"), (MALLORY,), (FALSE,))], "GRANT-OWNER"),
        ([Transition(NOW, RoleGrant(DAVE, "owner"), (CAROL,), (FALSE,))], "GRANT-OWNER"),
        ([Transition(NOW, RoleGrant(DAVE, "controller"), (ALICE, *DEVICES[:20]), (FALSE,) * 21)], "ENTRY-SIZE"),
        ([Transition(NOW, RoleGrant(each, "controller"), (ALICE,), (FALSE,)) for each in DEVICES], "LOG-SIZE"),
    ],
    ids=["a stranger's", "above the signer's role", "an entry that is too long", "a log that is too long"],
)
def test_of_a_governance_log_signer_role_and_size_are_looked_at_before_any_signature(
    bad: list[Transition], rule: str
) -> None:
    checks = Checks(NETWORK)
    with pytest.raises(log.BadLog) as refused:
        finish(log.heard((*BASE, *bad), checks, STRICT))
    assert (refused.value.rule, checks.count) == (rule, 0)


class Believing(Checks):
    """Takes every signature for good but `FALSE`: twenty thousand are looked at in no time."""

    def verify_signed(self, signed: Sequence[tuple[bytes, bytes]]) -> list[bool]:
        self.count += len(signed)
        bad = base32.decode(FALSE, SIGNATURE_BYTES)
        return [not message.startswith(bad) for _key, message in signed]


def said(variant: Variant, author: str, at: int = NOW) -> Transition:
    """An entry as `Believing` takes it for signed: each with a signature of its own."""
    signature = base32.encode(sha512(f"{at}{author}{variant}".encode()).digest())
    return Transition(at, variant, (author,), (signature,))


def hear_all(book: Book, entries: Sequence[Transition], checks: Checks) -> tuple[Book, Counter[str]]:
    """Everything in slices, as one who is believed by nobody says it, and what became of it."""
    became: Counter[str] = Counter()
    while entries:
        heard = hear_entries(book, entries, HEARSAY, checks, NOW, max_checks=ENTRIES_PER_SLICE)
        became.update(judgement.why or judgement.outcome for _, judgement in heard.judged)
        book, entries = heard.book, heard.rest
    return book, became


@pytest.mark.heavy
def test_the_member_log_keeps_twenty_thousand_and_junk_displaces_nobody() -> None:
    devices = [base32.encode(sha256(b"%d" % number).digest()) for number in range(member_log.MAX_COPIES + 100)]
    signed_in, others = devices[: member_log.MAX_COPIES], devices[member_log.MAX_COPIES :]
    checks = Believing(NETWORK)
    grants = [said(RoleGrant(device, "member"), (ALICE, CAROL)[at % 2], at) for at, device in enumerate(signed_in)]
    full, became = hear_all(book_of(BASE, BOB), grants, checks)
    assert (full.members.count, dict(became)) == (member_log.MAX_COPIES, {"counted": member_log.MAX_COPIES})

    junk = [
        *(said(variant, MALLORY) for each in signed_in[:50] for variant in (Evict(each), RoleGrant(each, "member"))),
        *(Transition(NOW, Evict(each), (ALICE,), (FALSE,)) for each in signed_in[:40]),
        *(said(RoleGrant(each, "controller"), CAROL) for each in signed_in[:40]),
        *(msgspec.structs.replace(each, at=NOW + number) for number, each in enumerate(grants[:40])),  # stamped anew
        *(said(RoleGrant(each, "member"), MALLORY) for each in others),
    ]
    book, became = hear_all(full, junk, checks)
    assert became == {"aside": 200, "SIG-INVALID": 40, "NO-MEMBER-ENTRY": 40, "LOG-FULL": 40}
    assert book.members is full.members, "not one copy of what authorities signed went for it"

    book, became = hear_all(book, [said(RoleGrant(each, "member"), CAROL) for each in others], checks)
    assert became == {"LOG-FULL": 100}, "nobody is let in beyond, whoever signs it"
    assert book.members is full.members

    book, became = hear_all(book, [said(Evict(each), CAROL, NOW) for each in (*signed_in[:3], *others[:2])], checks)
    assert became == {"counted": 3, "LOG-FULL": 2}, "putting out finds room for whoever is in it"
    assert all(book.is_evicted(device) for device in (*signed_in[:3], *others[:2])), "and everybody else is out anyway"
    assert {book.role(device) for device in signed_in[3:]} == {"member"}, "and nobody else goes for it"
    assert book.members.count == member_log.MAX_COPIES


@pytest.mark.heavy
def test_held_grants_are_kept_up_to_their_bound_and_the_oldest_goes() -> None:
    checks = Checks(NETWORK)
    book, early = book_of(BASE, BOB), NOW + 2 * DAY_SECONDS
    grants = [entry(RoleGrant(device, "member"), ALICE, at=early) for device in DEVICES[: judging.MAX_HELD + 4]]
    rest = tuple(grants)
    while rest:
        heard = hear_entries(book, rest, HEARSAY, checks, NOW, max_checks=30)
        book, rest = heard.book, heard.rest
    assert list(book.aside.held.values()) == grants[4:]


def test_replays_are_shown_up_to_their_bound() -> None:
    shown = Questions()
    for device in DEVICES[:40]:
        replay = Replay(Transition(NOW, RoleGrant(device, "member"), (ALICE,), (FALSE,)), ALICE)
        shown = shown.with_replay(NETWORK, replay)
    assert [each.entry.variant for each in shown.replays.values()] == [
        RoleGrant(device, "member") for device in DEVICES[8:40]
    ]


@pytest.mark.heavy
def test_what_a_person_said_no_to_is_remembered_up_to_its_bound_and_the_oldest_goes() -> None:
    logs = [log_of((*BASE, entry(RoleGrant(DEVICES[number], "controller"), ALICE))) for number in range(70)]
    known, asked = Branches(), Questions()
    for each in (*logs, logs[-2]):
        known = known.staying(each)
    assert known.stayed == tuple(each.digest for each in (*logs[6:-2], logs[-1], logs[-2])), "each once, newest last"
    here = Branch(logs[0], (NOW,) * 3)
    held, after = known.switched(here, logs[-1], NOW, by_itself=False)
    assert after.stayed == (*known.stayed[1:-2], logs[-2].digest, here.log.digest)
    assert after.switched(held, logs[-2], NOW, by_itself=True)[1].stayed == (*known.stayed[1:-2], here.log.digest)
    for number in range(300):
        asked = asked.without(f"prop_{number}", dismiss=True)
    assert asked.dismissed == tuple(f"prop_{number}" for number in range(300 - 256, 300))


def test_signatures_are_remembered_up_to_their_bound_and_those_of_authorities_longest() -> None:
    known = Memory().with_record(b"honest", ALICE, Evict(BOB), by_authority=True)
    for number in range(memory.MAX_REMEMBERED + 10):
        known = known.with_record(b"%d" % number, MALLORY, Evict(BOB), by_authority=False)
    assert len(known.seen) == memory.MAX_REMEMBERED
    assert b"honest" in known.seen


@pytest.mark.heavy
def test_members_fill_the_list_of_proposals_and_an_authority_finds_room() -> None:
    known = Proposals()

    def with_one(known: Proposals, by: str, number: int, *, by_authority: bool = False) -> Proposals:
        record = Proposal(f"p{number}", NOW, by, Evict(DAVE), (by,), (FALSE,), (), False)
        return known.with_record(record, b"%d" % number, NOW, by_authority=by_authority)

    for number in range(40):
        known = with_one(known, DEVICES[0], number)
    assert len(known.records) == proposals.MAX_PER_PROPOSER
    for number in range(40, 400):
        known = with_one(known, DEVICES[number // 31], number)
    assert len(known.records) == proposals.MAX_RECORDS
    known = with_one(known, ALICE, 999, by_authority=True)
    assert len(known.records) == proposals.MAX_RECORDS
    assert "p999" in known.records


def filled(nbytes: int) -> Book:
    """A network whose log has been filled by granting and taking one role again and again."""
    signed = sign(ALICE, RoleGrant(CAROL, "controller")), sign(ALICE, RoleRevoke(CAROL))
    filler = [
        Transition(1000, RoleRevoke(CAROL), (ALICE,), (signed[1],)),
        Transition(1000, RoleGrant(CAROL, "controller"), (ALICE,), (signed[0],)),
    ]
    book = book_of(BASE, ALICE)
    pairs = (nbytes - book.log.nbytes) // (sum(len(entries.entry_key(each)) + 1 for each in filler)) + 1
    full = book.log.extended(filler * pairs, NETWORK, book.rules)
    book = replace(book, branch=book.branch.with_log(full, NOW))
    assert book.log.nbytes >= nbytes
    return book


def test_what_an_owner_signed_is_taken_as_long_as_it_fits_one_frame() -> None:
    """24.3 no. 49: v0.3.8 signs on up to 203 entries, beyond where ours stop, and must not be left alone with them."""
    signed = [entry(RoleGrant(device, "controller"), ALICE, at=1_700_000_000) for device in DEVICES[:202]]
    whole = (*BASE, *signed[:-1])
    assert len(whole) == 203
    assert len(encode_frame(RosterEntries((), whole))) <= MAX_FRAME_BYTES
    heard = finish(log.heard(whole, Checks(NETWORK), STRICT))
    assert heard.nbytes > log.MAX_LOG_BYTES
    found = hear_log(book_of(BASE, BOB), heard, HEARSAY, NOW)
    assert (found.found, found.book.log.entries) == ("adopted", whole)
    told = [frame for frame in answer(found.book, (), (), vouching=True) if frame is not None]
    assert [frame.transitions for frame in told if frame.transitions] == [whole]
    assert max(len(encode_frame(frame)) for frame in told) <= MAX_FRAME_BYTES
    with pytest.raises(log.BadLog, match="LOG-SIZE"):
        finish(log.heard((*BASE, *signed), Checks(NETWORK), STRICT))


def test_a_full_log_keeps_no_member_from_coming_and_going() -> None:
    """Who belongs does not depend on the log of roles (24.3 no. 49)."""
    book = filled(log.MAX_LOG_BYTES - 300)
    with pytest.raises(Refused, match="nearly full; found a new network"):
        draft(book, Evict(CAROL))
    for number, variant in enumerate((RoleGrant(DAVE, "member"), Evict(DAVE), RoleGrant(ERIN, "member"))):
        book = propose(book, variant, sign(ALICE, variant), f"p_{number}", NOW + number).book
    assert (book.role(DAVE), book.is_evicted(DAVE), book.role(ERIN)) == (None, True, "member")


@pytest.mark.parametrize("nbytes", [32_000, 48_000, 57_000, 61_500, 64_000])
def test_at_each_byte_limit_controllers_can_be_put_out_and_members_come_and_go(nbytes: int) -> None:
    """24.3 no. 49: whoever fills the log keeps nobody from removing, and joiners never depend on it."""
    book = filled(nbytes)
    for number, variant in enumerate((RoleGrant(DAVE, "member"), Evict(DAVE), RoleGrant(ERIN, "member"), Evict(CAROL))):
        book = propose(book, variant, sign(ALICE, variant), f"p_{number}", NOW + number).book
    assert (book.role(DAVE), book.is_evicted(DAVE), book.role(ERIN)) == (None, True, "member")
    assert book.is_evicted(CAROL) or book.standing.role(CAROL) == "member"
    assert book.log.nbytes <= log.MAX_LOG_BYTES
    proof = denial(book, CAROL)
    assert proof.transitions == book.log.entries
    assert Evict(CAROL) in [each.variant for each in proof.member_log], "the deny still carries the log and the removal"
    assert len(encode_frame(proof)) <= MAX_FRAME_BYTES
    assert len(encode_frame(RosterEntries((), book.log.entries))) <= MAX_FRAME_BYTES, "and v0.3.8 gets it"
    if nbytes >= 57_000:
        with pytest.raises(Refused, match="nearly full"):
            draft(book, RoleGrant(BOB, "controller"))
