"""Frames about proposals: what is checked, what is kept, and what a person or a pull decides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from msgspec.structs import replace

from myownmesh.governance import intake as module
from myownmesh.governance import proposals as proposals_module
from myownmesh.governance.adoption import consent
from myownmesh.governance.book import Book
from myownmesh.governance.hearing import hear_entries
from myownmesh.governance.intake import hear_ack, hear_propose, hear_split, unanswered
from myownmesh.governance.pins import Pin
from myownmesh.governance.proposals import LIFETIME_SECONDS, Proposals, is_proposal_id, new_proposal_id
from myownmesh.governance.ratifying import tier_of
from myownmesh.governance.records import Proposal, SplitRecord
from myownmesh.governance.rules import STRICT, Rules
from myownmesh.governance.signatures import Checks
from myownmesh.governance.signed_bytes import content_digest, denied_bytes
from myownmesh.governance.words import Speaker
from myownmesh.protocol import base32
from myownmesh.protocol.codec import decode_frame
from myownmesh.protocol.frames import NetworkStateAck, NetworkStatePropose, NetworkStateSplit
from myownmesh.protocol.schema import read
from myownmesh.protocol.strict_json import dumps
from myownmesh.protocol.transitions import (
    Evict,
    KindChange,
    RoleGrant,
    Split,
    TopologyChange,
    UnknownVariant,
)
from support.governance import (
    ALICE,
    BOB,
    CAROL,
    DAVE,
    DEVICES,
    ERIN,
    FRANK,
    MALLORY,
    NAMES,
    NETWORK,
    V038,
    entry,
    entry_of,
    sign,
)
from support.vectors import load

if TYPE_CHECKING:
    from collections.abc import Iterable

    from myownmesh.governance.intake import Intake
    from myownmesh.protocol.frames import Frame
    from myownmesh.protocol.transitions import (
        Transition,
        Variant,
    )

NOW = 1_718_000_100
CHECKS = Checks(NETWORK)
CLOSE, PROMOTE = entry(KindChange("closed"), ALICE), entry(RoleGrant(CAROL, "controller"), ALICE)


def founded(*entries: Transition, rules: Rules = STRICT, me: str = FRANK) -> Book:
    """A closed network of Alice's, with Carol as controller."""
    book = Book(NETWORK, me, Pin(NETWORK), rules)
    log = book.log.extended(entries or (CLOSE, PROMOTE), NETWORK, rules)
    return book.with_branch(book.branch.with_log(log, 0), book.branches)


def with_records(book: Book, records: Iterable[Proposal]) -> Book:
    for record in records:
        digest = content_digest(NETWORK, record.variant).encode()
        proposals = book.proposals.with_record(record, digest, NOW, by_authority=False)
        book = replace(book, proposals=proposals)
    return book


def hear(book: Book, frame: Frame, link: str, now: int = NOW, **more: bool) -> Intake:
    match frame:
        case NetworkStatePropose():
            return hear_propose(book, frame, link, CHECKS, now, **more)
        case NetworkStateAck():
            return hear_ack(book, frame, link, CHECKS, now)
        case NetworkStateSplit():
            return hear_split(book, frame, link, CHECKS)
    return pytest.fail(f"no frame of governance: {frame}")


def proposed(variant: Variant, by: str, proposal_id: str = "prop_1", at: int = NOW) -> NetworkStatePropose:
    return NetworkStatePropose(proposal_id, variant, by, at, sign(by, variant))


def ack(variant: Variant, by: str, proposal_id: str = "prop_1") -> NetworkStateAck:
    return NetworkStateAck(proposal_id, by, "sign", NOW, sign(by, variant))


def denial(by: str, proposal_id: str = "prop_1") -> NetworkStateAck:
    signature = base32.encode(DEVICES[NAMES[by]].sign(denied_bytes(NETWORK, proposal_id, by)))
    return NetworkStateAck(proposal_id, by, "deny", NOW, signature)


# ── vectors ───────────────────────────────────────────────────────────────────────────────────────────────────────────

CASES = {case["id"]: case for case in load("governance", "intake")}
RESULTS = {
    "ratified": "ratified",
    "pending": "pending",
    "drop": "dropped",
    "removed_denied": "denied",
    "appended_to_governance_log": "ratified",
    "ignored": "ignored",
}
# Where ours differs, and why. What its author decided is pulled from it instead (FIX 9, 13).
OURS = {
    "owner-admits": "pull",
    "controller-admits": "pull",
    "owner-promotes": "pull",
    "owner-evicts-controller": "pull",
    "owner-cosigns": "pull",
    "unknown-variant": "ignored",  # never signed, so never recorded (02 §5); no switch
    "stranger-closes-open-network": "claim",  # FIX 2
    "stranger-evicts-on-open-network": "ignored",  # FIX 35
    "outsider-cosigns": "ignored",  # FIX 9
    "anyone-denies": "pending",  # FIX 23
    "split-by-stranger": "listed",  # FIX 7
}


def play(case: dict[str, Any], rules: Rules) -> Intake:
    book = founded(rules=rules) if case["kind"] == "closed" else Book(NETWORK, FRANK, rules=rules)
    if case["kind"] == "closed":
        assert book.standing.roles == case["roles"]
    book = with_records(book, (read(Proposal, dumps(record)) for record in case["pending_before"]))
    for known in case["known_splits"]:
        book = book.with_split(SplitRecord(known, 0, ALICE, ()))
    return hear(book, decode_frame(bytes(dumps(case["frame"]))), case["channel_peer"])


@pytest.mark.parametrize("name", CASES)
def test_v038(name: str) -> None:
    """With every switch on: what the reference does, but for what is never recorded."""
    case = CASES[name]
    done = play(case, V038)
    if name == "unknown-variant":
        assert done.result == "ignored"
        return
    assert done.result == RESULTS[case["expect"]["result"]]
    assert list(done.book.proposals.records) == case["pending_ids_after"]
    if "entry" in case["expect"]:
        assert done.entry == entry_of(case["expect"]["entry"])
        standing = founded(rules=V038).standing if case["kind"] == "closed" else Book(NETWORK, FRANK).standing
        assert tier_of(done.entry.variant, standing) == case["expect"]["tier"]
    if "unmet_rule" in case["expect"] and name != "duplicate-id":
        assert done.why == case["expect"]["unmet_rule"]
    if done.result == "dropped":
        assert done.why == case["expect"]["why"]


@pytest.mark.parametrize("name", CASES)
def test_ours(name: str) -> None:
    case = CASES[name]
    done = play(case, STRICT)
    assert done.result == OURS.get(name, RESULTS[case["expect"]["result"]])
    assert case.get("weakness", False) <= (name in OURS)
    if name in OURS:
        assert done.book.log == founded().log if case["kind"] == "closed" else not len(done.book.log)
        assert done.entry is None


@pytest.mark.parametrize("sample", load("governance", "proposal_ids")["samples"], ids=lambda sample: sample["id"])
def test_proposal_ids(sample: dict[str, str]) -> None:
    assert new_proposal_id(int(sample["random_u64"])) == sample["id"]
    assert is_proposal_id(sample["id"])


# ── words ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_a_device_signs_on_its_own_link_is_its_word() -> None:
    evict = proposed(Evict(DAVE), CAROL)
    done = hear(founded(), evict, CAROL)
    assert (done.result, done.word) == ("pull", evict.signature)
    late = hear(founded(), msgspec.structs.replace(evict, created_at=NOW + 301), CAROL)
    assert (late.result, late.word) == ("ignored", evict.signature), "a wrong clock does not make it less sure"
    assert hear(founded(), evict, MALLORY).word is None, "a word cannot be passed on"


def test_an_author_who_does_not_answer_is_believed_about_one_copy() -> None:
    evict = proposed(Evict(DAVE), CAROL, at=7)
    book = founded()
    copy = unanswered(book, evict)
    assert copy == entry(Evict(DAVE), CAROL, at=7)
    heard = hear_entries(book, [copy], Speaker(CAROL, said=frozenset(copy.signatures)), CHECKS, NOW, max_checks=9)
    assert heard.book.is_evicted(DAVE)
    again = unanswered(heard.book, proposed(RoleGrant(DAVE, "member"), ALICE, at=7))
    assert again is not None
    assert again.at == 8
    assert unanswered(book, proposed(RoleGrant(DAVE, "owner"), ALICE)) is None
    assert unanswered(book, proposed(KindChange("open"), ALICE)) is None


def test_proposals_of_the_past_and_of_the_future_are_not_kept() -> None:
    def at(time: int) -> str:
        return hear(founded(), proposed(RoleGrant(DAVE, "member"), ERIN, at=time), ERIN).result

    assert [at(time) for time in (NOW + 300, NOW + 301)] == ["pending", "ignored"]
    assert [at(NOW - LIFETIME_SECONDS - off) for off in (0, 1)] == ["pending", "ignored"]


# ── what an id stands for ─────────────────────────────────────────────────────────────────────────────────────────────


def test_an_id_stands_for_its_first_content_also_after_a_denial() -> None:
    """24.3 no. 45: bait, denial, switch."""
    book = hear(founded(), proposed(RoleGrant(DAVE, "member"), ERIN), ERIN).book
    book = hear(book, denial(ALICE), ALICE).book
    assert not book.proposals.records
    again = hear(book, proposed(RoleGrant(MALLORY, "owner"), ERIN), ERIN)
    assert (again.result, again.why, again.book) == ("dropped", "other content", book)
    other = hear(book, proposed(RoleGrant(DAVE, "member"), BOB), BOB)
    assert other.result == "dropped", "of another proposer it is another content"
    assert hear(book, proposed(RoleGrant(DAVE, "member"), ERIN), ERIN).result == "pending"
    later = NOW + LIFETIME_SECONDS + 1
    assert hear(book, proposed(RoleGrant(BOB, "member"), ERIN, at=later), ERIN, later).result == "pending"


@pytest.mark.parametrize("proposal_id", ["", "x" * 65, "a b", "ä"])
def test_odd_ids_are_dropped(proposal_id: str) -> None:
    done = hear(founded(), proposed(RoleGrant(DAVE, "member"), ERIN, proposal_id), ERIN)
    assert (done.result, done.why) == ("dropped", "proposal id")


def test_nobody_takes_the_id_of_a_question() -> None:
    book = hear(Book(NETWORK, FRANK), proposed(KindChange("closed"), MALLORY), MALLORY).book
    (question,) = book.questions.claims
    done = hear(book, proposed(TopologyChange(_full_mesh()), ERIN, question), ERIN)
    assert (done.result, done.why) == ("dropped", "proposal id")


def _full_mesh() -> Any:
    from myownmesh.protocol.modes import FullMesh

    return FullMesh()


# ── bounds ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def flood(book: Book, by: str, count: int, start: int = 0) -> Book:
    for number in range(start, start + count):
        book = hear(book, proposed(RoleGrant(DAVE, "member"), by, f"{NAMES[by]}_{number}"), by).book
    return book


def test_a_member_keeps_only_so_many_records(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proposals_module, "MAX_PER_PROPOSER", 3)
    book = flood(founded(), ERIN, 4)
    assert list(book.proposals.records) == ["erin_0", "erin_1", "erin_2"]
    more = hear(book, proposed(RoleGrant(DAVE, "member"), ERIN, "more"), ERIN)
    assert (more.result, more.why, more.book) == ("ignored", "no room for more proposals", book)
    own = (proposed(RoleGrant(target, "owner"), CAROL, f"carol_{target[:4]}") for target in (BOB, DAVE, ERIN, MALLORY))
    for frame in own:
        book = hear(book, frame, CAROL).book
    assert f"carol_{MALLORY[:4]}" in book.proposals.records, "an authority's always finds room"
    assert f"carol_{BOB[:4]}" not in book.proposals.records, "its oldest makes it"


def test_a_full_list_drops_from_whoever_has_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proposals_module, "MAX_RECORDS", 4)
    book = flood(flood(founded(), ERIN, 3), BOB, 1)
    book = flood(book, DAVE, 1)
    assert list(book.proposals.records) == ["erin_1", "erin_2", "bob_0", "dave_0"]
    assert flood(book, ERIN, 1, start=9).proposals.records == book.proposals.records


def test_contents_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proposals_module, "MAX_CONTENTS", 3)
    monkeypatch.setattr(proposals_module, "MAX_CONTENTS_PER_PROPOSER", 2)
    proposals = Proposals()

    def record(number: int, by: str) -> Proposal:
        return Proposal(f"{by}{number}", 0, by, Evict(DAVE), (by,), ("",), (), False)

    for number in range(3):
        proposals = proposals.with_record(record(number, "a"), b"", NOW, by_authority=False).without(f"a{number}")
    assert list(proposals.contents) == ["a1", "a2"]
    for by in "bc":
        proposals = proposals.with_record(record(0, by), b"", NOW, by_authority=False)
    assert list(proposals.contents) == ["a2", "b0", "c0"]
    later = proposals.without("b0").with_record(record(1, "d"), b"", NOW + LIFETIME_SECONDS + 1, by_authority=False)
    assert list(later.contents) == ["c0", "d1"], "a record that waits keeps its content"


def test_opinions_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_DENIERS", 1)
    book = hear(founded(), proposed(RoleGrant(DAVE, "member"), ERIN), ERIN).book
    for by in (MALLORY, BOB, MALLORY):
        book = hear(book, denial(by), by).book
    assert book.proposals.records["prop_1"].deniers == (MALLORY,)


# ── signatures and denials ────────────────────────────────────────────────────────────────────────────────────────────

ADMIT = RoleGrant(DAVE, "member")


def test_the_proposer_ratifies_what_an_authority_signs() -> None:
    mine = Proposal("prop_1", 50, FRANK, ADMIT, (FRANK,), (sign(FRANK, ADMIT),), (), False)
    book = with_records(founded(), [mine])
    done = hear(book, ack(ADMIT, CAROL), CAROL)
    assert (done.result, done.word) == ("ratified", sign(CAROL, ADMIT))
    assert done.entry == entry(ADMIT, FRANK, CAROL, at=50)
    assert done.book.role(DAVE) == "member"
    assert not done.book.proposals.records


def test_of_several_signatures_that_do_not_suffice_each_is_kept_once() -> None:
    seat = RoleGrant(DAVE, "owner")
    book = hear(founded(), proposed(seat, ERIN), ERIN).book
    for _ in range(2):
        done = hear(book, ack(seat, CAROL), CAROL)
        assert (done.result, done.why) == ("pending", "GRANT-OWNER")
        book = done.book
    assert book.proposals.records["prop_1"].signers == (ERIN, CAROL)
    assert hear(book, ack(seat, ALICE), ALICE).result == "pull"


def test_false_signatures_are_charged() -> None:
    book = hear(founded(), proposed(ADMIT, ERIN), ERIN).book
    for frame in (
        msgspec.structs.replace(proposed(ADMIT, CAROL), variant=Evict(DAVE)),
        msgspec.structs.replace(ack(Evict(DAVE), CAROL)),
        msgspec.structs.replace(denial(CAROL, "prop_2"), proposal_id="prop_1"),
        NetworkStateSplit("p", "n", (), CAROL, 1, sign(CAROL, ADMIT)),
    ):
        done = hear(book, frame, CAROL)
        assert (done.result, done.why, done.charge, done.book) == ("dropped", "signature", True, book)


def test_the_denial_of_a_proposer_withdraws() -> None:
    book = hear(founded(), proposed(ADMIT, ERIN), ERIN).book
    done = hear(book, denial(ERIN), ERIN)
    assert done.result == "denied"
    assert done.book.memory.refused(ERIN) == (ADMIT,)


def test_a_denial_spends_also_what_only_the_state_file_remembered() -> None:
    """A record that v0.3.8 saved comes without a memory of its signatures (02 §24.3 no. 64)."""
    record = Proposal("prop_1", NOW, ERIN, ADMIT, (ERIN,), (sign(ERIN, ADMIT),), (), False)
    done = hear(with_records(founded(), [record]), denial(ALICE), ALICE)
    assert done.result == "denied"
    assert [seen.spent for seen in done.book.memory.seen.values() if seen.signer == ERIN] == ["denied"]


def test_forms_are_looked_at_first() -> None:
    checks = Checks(NETWORK)
    bad_target = NetworkStatePropose("p", Evict("everybody"), CAROL, NOW, "?")
    assert hear_propose(founded(), bad_target, CAROL, checks, NOW).why == "SIG-DECODE"
    bad_split = NetworkStateSplit("p", "n", ("x",), CAROL, 1, sign(CAROL, ADMIT))
    assert hear_split(founded(), bad_split, CAROL, checks).why == "TARGET-FORM"
    assert hear_split(founded(), bad_split, ALICE, checks).why == "proposer is not the channel peer"
    unknown = NetworkStatePropose("p", UnknownVariant("later", b"{}"), CAROL, NOW, "?")
    assert hear_propose(founded(), unknown, CAROL, checks, NOW).result == "ignored"
    assert checks.count == 0


@pytest.mark.parametrize("claimed", ["aaaaaaaaaaaé", "", "x" * 100, ALICE.upper()])
def test_ids_that_crash_v038_are_only_dropped(claimed: str) -> None:
    """FIX 24."""
    assert hear(founded(), NetworkStatePropose("p", ADMIT, claimed, NOW, "?"), claimed).result == "dropped"
    assert hear(founded(), NetworkStateAck("p", claimed, "sign", NOW, "?"), claimed).result == "dropped"
    assert hear(founded(), NetworkStateSplit("p", "n", (), claimed, 1, "?"), claimed).result == "dropped"


# ── founding and open networks ────────────────────────────────────────────────────────────────────────────────────────


def test_a_founding_by_frame_waits_for_a_person_and_takes_the_author_s_signature_alone() -> None:
    done = hear(Book(NETWORK, FRANK), proposed(KindChange("closed"), ALICE), ALICE, rostered=True)
    assert (done.result, done.book.kind) == ("claim", "open")
    ((question, claim),) = done.book.questions.claims.items()
    assert claim.rostered
    agreed = consent(done.book, question, NOW).book
    assert (agreed.kind, agreed.pin.founder) == ("closed", ALICE)
    assert agreed.log.entries == (entry(KindChange("closed"), ALICE, at=NOW),)
    assert hear(done.book, proposed(KindChange("closed"), ALICE), ALICE, rostered=True).book is done.book


def test_a_founder_who_was_turned_down_and_one_beside_a_pin_do_not_ask() -> None:
    for pin in (Pin(NETWORK).refusing(MALLORY), Pin(NETWORK, founder=ALICE, genesis="x")):
        done = hear(Book(NETWORK, FRANK, pin), proposed(KindChange("closed"), MALLORY), MALLORY)
        assert (done.result, done.why) == ("ignored", "OTHER-FOUNDER")


def test_splits_reach_the_log_with_their_switch_only() -> None:
    frame = NetworkStateSplit("p", "junk", (), MALLORY, 1, sign(MALLORY, Split("junk", ())))
    done = hear(founded(), frame, MALLORY)
    assert done.book.splits == (SplitRecord("junk", 1, MALLORY, ()),)
    assert hear(done.book, frame, MALLORY).why == "split already recorded"
    switched = hear(founded(rules=Rules(unauthorised_splits=True)), frame, MALLORY)
    assert (switched.result, len(switched.book.log)) == ("ratified", 3)
    assert not switched.book.splits


def test_roles_on_open_networks_are_nobody_s_business() -> None:
    done = hear(Book(NETWORK, FRANK), proposed(RoleGrant(MALLORY, "owner"), MALLORY), MALLORY)
    assert (done.result, done.why) == ("ignored", "OPEN-GRANT")
    switched = Book(NETWORK, FRANK, rules=Rules(open_network_evict=True))
    acted = hear(switched, proposed(Evict(DAVE), MALLORY), MALLORY)
    assert (acted.result, acted.entry) == ("ratified", entry(Evict(DAVE), MALLORY, at=NOW))
