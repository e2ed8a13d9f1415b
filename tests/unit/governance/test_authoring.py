"""What this device decides itself: drafts, proposals, signatures, and what is refused before anything is signed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from msgspec.structs import replace

from myownmesh.governance import authoring
from myownmesh.governance.authoring import (
    Done,
    Refused,
    denial_payload,
    deny,
    draft,
    draft_signature,
    expire,
    propose,
    resent,
    room,
    sign,
    withdraw,
)
from myownmesh.governance.book import Book
from myownmesh.governance.intake import hear_ack, hear_propose
from myownmesh.governance.pins import Pin
from myownmesh.governance.proposals import LIFETIME_SECONDS
from myownmesh.governance.ratifying import decides, settled, stamp, tier_of
from myownmesh.governance.records import Proposal
from myownmesh.governance.signatures import Checks
from myownmesh.governance.signed_bytes import content_digest
from myownmesh.governance.standing import Standing
from myownmesh.identity import verify
from myownmesh.protocol import base32
from myownmesh.protocol.frames import NetworkStateAck, NetworkStatePropose
from myownmesh.protocol.ids import display_id
from myownmesh.protocol.modes import FullMesh
from myownmesh.protocol.transitions import (
    Evict,
    KindChange,
    RoleGrant,
    RoleRevoke,
    Split,
    TopologyChange,
)
from support.governance import ALICE, BOB, CAROL, DAVE, DEVICES, ERIN, MALLORY, NAMES, NETWORK, entries_of, entry
from support.governance import sign as signed
from support.vectors import load

if TYPE_CHECKING:
    from myownmesh.protocol.frames import NetworkKind
    from myownmesh.protocol.transitions import (
        Transition,
        Variant,
    )

NOW = 1_000_000
CLOSE, PROMOTE = entry(KindChange("closed"), ALICE), entry(RoleGrant(CAROL, "controller"), ALICE)
ADMIT = RoleGrant(DAVE, "member")


def founded(*entries: Transition, me: str = ALICE, pin: Pin | None = None) -> Book:
    book = Book(NETWORK, me, pin or Pin(NETWORK))
    log = book.log.extended(entries or (CLOSE, PROMOTE), NETWORK, book.rules)
    return book.with_branch(book.branch.with_log(log, 0), book.branches)


def proposes(book: Book, variant: Variant, now: int = NOW, proposal_id: str = "prop_1") -> Done:
    return propose(book, variant, signed(book.me, variant), proposal_id, now)


def denial(book: Book, proposal_id: str = "prop_1") -> str:
    return base32.encode(DEVICES[NAMES[book.me]].sign(denial_payload(book, proposal_id)))


def told(book: Book, author: Book, done: Done) -> Book:
    """What another device keeps of the frames."""
    checks = Checks(NETWORK)
    for frame in done.frames:
        if isinstance(frame, NetworkStatePropose):
            book = hear_propose(book, frame, author.me, checks, NOW).book
        elif isinstance(frame, NetworkStateAck):
            book = hear_ack(book, frame, author.me, checks, NOW).book
    return book


# ── vectors ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def variant_named(name: str) -> Variant:
    match name.split():
        case ["role_grant", role]:
            return RoleGrant(DAVE, role)  # type: ignore[arg-type]  # one of the words
        case ["role_revoke"]:
            return RoleRevoke(DAVE)
        case ["evict"]:
            return Evict(DAVE)
        case ["kind_change"]:
            return KindChange("open")
        case ["split"]:
            return Split("n", ())
    return TopologyChange(FullMesh())


def with_target(role: str) -> Standing:
    return Standing("closed", {DAVE: role} if role in ("controller", "owner") else {})  # type: ignore[dict-item]  # one of the words


@pytest.mark.parametrize(
    "case", load("governance", "tier_routing"), ids=lambda case: f"{case['variant']} {case.get('target_role', '')}"
)
def test_tiers(case: dict[str, Any]) -> None:
    roles = (
        ("member", "controller", "owner") if case.get("target_role") == "any" else (case.get("target_role", "member"),)
    )
    for role in roles:
        assert tier_of(variant_named(case["variant"]), with_target(role)) == case["tier"]


@pytest.mark.parametrize("case", load("governance", "stamping"), ids=lambda case: case["id"])
def test_stamps(case: dict[str, Any]) -> None:
    newest = case["newest_member_entry_for_target"] or -1
    at = stamp(variant_named(case["variant"]), with_target(case["target_role"]), newest, case["now"])
    assert at == case["expect_at"]


@pytest.mark.parametrize(("seated", "stamped"), [(NOW - 5, NOW), (NOW + 240, NOW + 241), (NOW + 9000, NOW)])
def test_a_removal_is_stamped_beyond_the_seat_that_it_takes(seated: int, stamped: int) -> None:
    """By a clock that is behind; not by one that nobody's is."""
    book = founded(CLOSE, entry(RoleGrant(DAVE, "controller"), ALICE, at=seated))
    done = proposes(book, Evict(DAVE))
    assert done.entry is not None
    assert done.entry.at == stamped


EFFECTS = {case["id"]: case for case in load("governance", "ratification_effects")}


def test_a_demoted_device_is_a_member_at_once_if_it_was_let_in() -> None:
    """`demoted-member`: v0.3.8 shows it only after its next projection. `own-evict-applied-locally` is about the roster
    and belongs to the engine."""
    case = EFFECTS["demoted-member"]
    book = founded(entries_of(case["log"])[0])
    for each in entries_of(case["member_log"]):
        book = replace(book, members=proposes(book, each.variant, each.at).book.members)
    for each in entries_of(case["log"])[1:]:
        book = proposes(book, each.variant, each.at).book
    assert book.bench.roles() == case["roles_projected"]
    assert EFFECTS.keys() == {"demoted-member", "own-evict-applied-locally"}


# ── proposing ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_authority_decides_at_once_and_the_frame_says_the_time_of_the_entry() -> None:
    book = founded()
    first = proposes(book, ADMIT)
    assert (first.entry, first.book.role(DAVE)) == (entry(ADMIT, ALICE, at=NOW), "member")
    put_out = proposes(first.book, Evict(DAVE))
    (frame,) = put_out.frames
    assert isinstance(frame, NetworkStatePropose)
    assert put_out.entry is not None
    assert frame.created_at == put_out.entry.at == NOW + 1
    assert put_out.book.is_evicted(DAVE)
    assert put_out.book.pin.evicted == {DAVE: NOW + 1}, "what this device put out stays out"
    back = proposes(put_out.book, ADMIT)
    assert back.entry is not None
    assert back.entry.at == NOW + 2
    assert back.book.role(DAVE) == "member"
    assert not back.book.is_evicted(DAVE)


def test_a_grant_that_holds_is_free() -> None:
    book = proposes(founded(), ADMIT).book
    assert draft(book, ADMIT) is None
    assert proposes(book, ADMIT) == Done(book)
    assert draft(book, RoleGrant(CAROL, "controller")) is None
    assert draft(book, RoleGrant(CAROL, "owner")) is not None
    removed = proposes(book, Evict(DAVE)).book
    assert draft(removed, ADMIT) is not None


def test_a_member_s_proposal_waits_and_says_for_whom() -> None:
    book = founded(me=ERIN)
    drafted = draft(book, ADMIT)
    assert drafted is not None
    assert (drafted.effective, drafted.waits_for) == (False, tuple(sorted([ALICE, CAROL])))
    done = proposes(book, ADMIT)
    assert (done.entry, done.waits_for) == (None, drafted.waits_for)
    assert list(done.book.proposals.records) == ["prop_1"]
    assert resent(done.book) == done.frames
    assert decides(book, RoleGrant(DAVE, "owner")) == (ALICE,)


def test_a_member_grant_takes_nobody_s_seat() -> None:
    book = proposes(founded(), RoleGrant(CAROL, "member")).book
    assert book.role(CAROL) == "controller"
    assert proposes(book, RoleRevoke(CAROL), proposal_id="prop_2").book.role(CAROL) == "member"


def test_evicting_an_authority_writes_both_logs() -> None:
    done = proposes(founded(), Evict(CAROL))
    assert done.book.log.entries[-1] == done.entry == done.book.members.entries()[0]
    assert done.book.is_evicted(CAROL)


def test_founding_pins() -> None:
    done = proposes(Book(NETWORK, ALICE), KindChange("closed"))
    assert (done.book.kind, done.book.pin.founder, done.book.standing.owners) == ("closed", ALICE, {ALICE})
    assert not done.book.pin.signed, "a close can be signed again elsewhere"


# ── refusals ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("configured", "variant", "text"),
    [
        ("open", KindChange("open"), "network: fleet-1 is open already"),
        ("silent", KindChange("closed"), "network: fleet-1 is silent"),
        ("silent", KindChange("open"), "network: fleet-1 is silent"),
        ("open", Evict("everybody"), "network: a governed device is named by its device id"),
        ("open", Evict(f"{DAVE}-DFCB2"), "network: a governed device is named by its device id"),
        ("open", Evict(ALICE), "network: a device cannot evict itself; leave the network instead"),
    ],
)
def test_refused_without_a_log(configured: NetworkKind, variant: Variant, text: str) -> None:
    with pytest.raises(Refused) as refused:
        draft(Book(NETWORK, ALICE, configured=configured), variant)
    assert str(refused.value) == text


@pytest.mark.parametrize(
    ("variant", "text"),
    [
        (KindChange("closed"), "network: fleet-1 is closed already"),
        (RoleRevoke(ALICE), "network: this is the last owner; make another device an owner first"),
        (RoleGrant(ALICE, "controller"), "network: this is the last owner; make another device an owner first"),
    ],
)
def test_refused_in_a_closed_network(variant: Variant, text: str) -> None:
    with pytest.raises(Refused) as refused:
        draft(founded(), variant)
    assert str(refused.value) == text


@pytest.mark.parametrize("book", [founded(), founded(me=ERIN), Book(NETWORK, ALICE)], ids=["owner", "member", "open"])
def test_nobody_is_put_out_by_taking_away_a_role_that_it_has_not(book: Book) -> None:
    """FIX 20: of a plain member v0.3.8 makes an eviction of it, in force at once."""
    for whom in (DAVE, ERIN):
        with pytest.raises(Refused, match=f"{display_id(whom)} has no role to take away; to put it out, evict it"):
            draft(book, RoleRevoke(whom))
    demoted = proposes(founded(), RoleRevoke(CAROL)).book
    with pytest.raises(Refused, match="no role to take away"):  # somebody else was faster, behind the draft
        proposes(demoted, RoleRevoke(CAROL), proposal_id="prop_2")


def test_a_revoke_of_a_member_that_v038_proposed_can_be_signed_as_what_it_is() -> None:
    book = proposes(founded(), ADMIT, NOW + 5).book
    variant = RoleRevoke(DAVE)
    frame = NetworkStatePropose("prop_2", variant, ERIN, NOW, signed(ERIN, variant))
    book = hear_propose(book, frame, ERIN, Checks(NETWORK), NOW).book
    done = sign(book, "prop_2", signed(ALICE, variant), NOW + 5, "prop_3")
    assert done.entry == entry(variant, ALICE, at=NOW + 6)
    assert done.book.is_evicted(DAVE)


def test_an_unfounded_closed_network_can_be_founded() -> None:
    assert draft(Book(NETWORK, ALICE, configured="closed"), KindChange("closed")) is not None


def test_no_second_founding_under_an_id_in_which_this_key_signed() -> None:
    """24.3 no. 43: everything signed in the first life would be an extension of the second."""
    done = proposes(founded(), ADMIT)
    assert done.book.pin.signed
    stub = done.book.pin.stub()
    with pytest.raises(Refused, match="this device signed in fleet-1 before; found a new network under another name"):
        draft(Book(NETWORK, ALICE, stub), KindChange("closed"))
    reopened = proposes(done.book, KindChange("open")).book
    assert proposes(reopened, KindChange("closed")).book.kind == "closed", "closing again is no founding"


def test_nothing_is_signed_in_a_network_called_deny() -> None:
    with pytest.raises(Refused, match="nothing can be signed"):
        draft(Book("deny", ALICE), ADMIT)


def test_nothing_is_authored_before_a_lost_log_is_back() -> None:
    pin = founded().pin
    book = Book(NETWORK, ALICE, pin, lost=2)
    with pytest.raises(Refused, match="0 of 2 entries are back"):
        draft(book, ADMIT)
    log = book.log.extended([CLOSE], NETWORK, book.rules)
    half = book.with_branch(book.branch.with_log(log, NOW), book.branches)
    assert half.pin.entries == 2, "what is only coming back does not lower the pin"
    with pytest.raises(Refused, match="1 of 2 entries are back"):
        draft(half, ADMIT)
    log = half.log.extended([PROMOTE], NETWORK, book.rules)
    assert draft(half.with_branch(half.branch.with_log(log, NOW), half.branches), ADMIT) is not None


def test_room_in_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """24.3 no. 49: the last bytes are for removing authorities; member admits never depend on it."""
    limits = ["WARN_BYTES", "OWNERS_BYTES", "REMOVALS_AND_KIND_BYTES", "REMOVALS_BYTES", "LAST_BYTES"]
    allowed: dict[str, list[bool]] = {}
    promote, put_out, reopen = RoleGrant(DAVE, "controller"), Evict(CAROL), KindChange("open")
    by_controller = founded(CLOSE, PROMOTE, entry(RoleGrant(BOB, "controller"), ALICE), me=CAROL)
    for full in range(6):
        for number, name in enumerate(limits):
            monkeypatch.setattr(authoring, name, 0 if number < full else 10**6)
        allowed[room(founded())] = [
            *(_is_allowed(founded(), variant) for variant in (promote, reopen, put_out, ADMIT)),
            *(_is_allowed(by_controller, variant) for variant in (promote, Evict(BOB))),
        ]
    assert allowed == {
        "ample": [True, True, True, True, True, True],
        "warn": [True, True, True, True, True, True],
        "owners": [True, True, True, True, False, False],
        "removals and kind": [False, True, True, True, False, False],
        "removals": [False, False, True, True, False, False],
        "last removals": [False, False, True, True, False, False],
    }


def _is_allowed(book: Book, variant: Variant) -> bool:
    try:
        return draft(book, variant) is not None
    except Refused as refused:
        return "nearly full" not in str(refused)


# ── records of others ─────────────────────────────────────────────────────────────────────────────────────────────────


def with_proposal(me: str = ALICE, variant: Variant = ADMIT) -> Book:
    author = founded(me=ERIN)
    return told(founded(me=me), author, proposes(author, variant))


def test_signing_another_s_proposal() -> None:
    book = with_proposal()
    drafted = draft_signature(book, "prop_1")
    assert drafted.effective
    done = sign(book, "prop_1", signed(ALICE, ADMIT), NOW, "prop_2")
    assert done.entry == entry(ADMIT, ERIN, ALICE, at=NOW)
    (ack,) = done.frames
    assert isinstance(ack, NetworkStateAck)
    assert (ack.decision, ack.proposal_id) == ("sign", "prop_1")
    assert done.book.role(DAVE) == "member"
    assert not done.book.proposals.records


def test_a_signature_that_does_not_suffice_waits() -> None:
    seat = RoleGrant(DAVE, "owner")
    book = with_proposal(CAROL, seat)
    done = sign(book, "prop_1", signed(CAROL, seat), NOW, "prop_2")
    assert (done.entry, done.waits_for) == (None, (ALICE,))
    with pytest.raises(Refused, match="already signed"):
        draft_signature(done.book, "prop_1")


def test_a_close_or_a_reopening_that_changes_nothing_is_not_signed_either() -> None:
    """24.3 no. 59: it would be a founding in one's own name, or a reopening for later."""
    with pytest.raises(Refused, match="network: fleet-1 is closed already"):
        draft_signature(with_proposal(CAROL, KindChange("closed")), "prop_1")
    reopened = proposes(founded(), KindChange("open")).book
    assert reopened.kind == "open"
    records = with_proposal(CAROL, KindChange("open")).proposals
    with pytest.raises(Refused, match="network: fleet-1 is open already"):
        draft_signature(replace(reopened, me=BOB, proposals=records), "prop_1")


def test_what_is_signed_is_what_was_shown() -> None:
    book = with_proposal()
    assert draft_signature(book, "prop_1", content_digest(NETWORK, ADMIT))
    with pytest.raises(Refused, match="proposal changed since it was shown"):
        draft_signature(book, "prop_1", content_digest(NETWORK, RoleGrant(MALLORY, "owner")))


def test_a_time_that_would_lose_is_replaced_by_an_entry_of_one_s_own() -> None:
    """24.3 no. 54: Erin proposed before Dave was put out."""
    book = proposes(with_proposal(), Evict(DAVE), NOW + 5, "prop_9").book
    done = sign(book, "prop_1", signed(ALICE, ADMIT), NOW + 5, "prop_2")
    assert done.entry == entry(ADMIT, ALICE, at=NOW + 6)
    assert [type(frame) for frame in done.frames] == [NetworkStatePropose]
    assert not done.book.proposals.records
    assert done.book.role(DAVE) == "member"


def test_what_holds_already_by_a_newer_entry_is_not_signed_again() -> None:
    mine = proposes(proposes(founded(), Evict(DAVE), NOW + 5, "prop_9").book, ADMIT, NOW + 6, "prop_8").book
    author = founded(me=ERIN)
    book = told(mine, author, proposes(author, ADMIT))
    assert list(book.proposals.records) == ["prop_1"]
    done = sign(book, "prop_1", signed(ALICE, ADMIT), NOW + 6, "prop_2")
    assert (done.entry, done.frames) == (None, ())
    assert not done.book.proposals.records
    assert done.book.role(DAVE) == "member"


def test_nobody_but_an_owner_lowers_an_owner() -> None:
    base = (CLOSE, PROMOTE, entry(RoleGrant(BOB, "owner"), ALICE))
    author = founded(*base, me=ERIN)
    lower = RoleGrant(BOB, "controller")
    book = told(founded(*base, me=CAROL), author, proposes(author, lower))
    with pytest.raises(Refused, match="only an owner can take an owner's role away"):
        draft_signature(book, "prop_1")


def test_denying_spends_what_was_signed() -> None:
    book = with_proposal()
    done = deny(book, "prop_1", denial(book), NOW)
    (ack,) = done.frames
    assert isinstance(ack, NetworkStateAck)
    assert ack.decision == "deny"
    assert verify(ALICE, denial_payload(book, "prop_1"), base32.decode(ack.signature, 64))
    assert not done.book.proposals.records
    assert done.book.memory.refused(ERIN) == (ADMIT,)
    author = founded(me=ERIN)
    author = told(proposes(author, ADMIT).book, founded(), done)
    assert not author.proposals.records, "and it is gone at its proposer's"


def test_withdrawing_is_told_to_peers() -> None:
    author = founded(me=ERIN)
    proposed = proposes(author, ADMIT)
    done = withdraw(proposed.book, "prop_1", denial(proposed.book), NOW)
    assert not done.book.proposals.records
    peer = told(told(founded(), author, proposed), author, done)
    assert not peer.proposals.records
    with pytest.raises(Refused, match="only the proposer can withdraw a proposal"):
        withdraw(with_proposal(), "prop_1", "", NOW)


def test_mistakes_in_the_order_of_the_reference() -> None:
    for operation in (draft_signature, denial_payload):
        with pytest.raises(Refused, match="proposal not found: prop_0"):
            operation(founded(), "prop_0")
    denied = with_proposal()
    record = msgspec.structs.replace(denied.proposals.records["prop_1"], deniers=(CAROL, ALICE))
    denied = replace(denied, proposals=denied.proposals.changed(record))
    with pytest.raises(Refused, match="proposal has been denied"):
        draft_signature(denied, "prop_1")
    with pytest.raises(Refused, match="already denied"):
        denial_payload(denied, "prop_1")


def test_an_opinion_keeps_no_authority_from_signing() -> None:
    book = with_proposal()
    record = msgspec.structs.replace(book.proposals.records["prop_1"], deniers=(MALLORY,))
    assert draft_signature(replace(book, proposals=book.proposals.changed(record)), "prop_1").effective


def test_records_expire_after_thirty_days() -> None:
    book = with_proposal()
    assert expire(book, NOW + LIFETIME_SECONDS) is book
    gone = expire(book, NOW + LIFETIME_SECONDS + 1)
    assert not gone.proposals.records
    assert gone.memory.refused(ERIN) == (ADMIT,)


def test_records_that_are_in_force_are_settled() -> None:
    book = proposes(with_proposal(), ADMIT, proposal_id="prop_2").book
    assert not book.proposals.records
    for variant in (RoleGrant(DAVE, "controller"), TopologyChange(FullMesh()), Evict(DAVE), RoleRevoke(CAROL)):
        waiting = with_proposal(variant=variant)
        assert waiting.proposals.records
        assert settled(waiting) is waiting
    for variant in (RoleGrant(DAVE, "controller"), TopologyChange(FullMesh()), Evict(DAVE)):
        done = proposes(with_proposal(variant=variant), variant, proposal_id="prop_2")
        assert not done.book.proposals.records, variant


def test_own_removals_on_an_open_network_act_here_only() -> None:
    """FIX 35: peers do not ratify them, the author does."""
    done = proposes(Book(NETWORK, ALICE), Evict(DAVE))
    assert done.entry == entry(Evict(DAVE), ALICE, at=NOW)
    assert not done.book.pin.evicted
    assert told(Book(NETWORK, BOB), Book(NETWORK, ALICE), done) == Book(NETWORK, BOB)


@pytest.mark.parametrize(
    "book",
    [Book(NETWORK, ALICE, configured="closed"), Book(NETWORK, ALICE, Pin(NETWORK).founded_by(CAROL))],
    ids=["nobody has founded it", "its founder is only pinned"],
)
def test_a_removal_is_not_in_force_in_a_closed_network_that_nobody_has_founded_here(book: Book) -> None:
    """It would do nothing, and the answer must not say that it did."""
    assert book.kind == "closed"
    drafted = draft(book, Evict(CAROL))
    assert drafted is not None
    assert (drafted.effective, drafted.waits_for) == (False, ())
    assert proposes(book, Evict(CAROL)).entry is None


def test_a_record_waits_as_it_is_in_the_file() -> None:
    book = with_proposal()
    assert book.proposals.records["prop_1"] == Proposal(
        "prop_1", NOW, ERIN, ADMIT, (ERIN,), (signed(ERIN, ADMIT),), (), False
    )
