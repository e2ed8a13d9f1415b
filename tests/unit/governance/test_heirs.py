"""Weaknesses of v0.3.8 around what an authority leaves behind and around large networks, mounted (spec 02 §24, 24.3).

Each at a plain reading of v0.3.8, where it succeeds, and at ours.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

import pytest

from myownmesh.governance.adoption import hear_log
from myownmesh.governance.authoring import propose
from myownmesh.governance.denials import read_denial, take_denial
from myownmesh.governance.hearing import hear_entries
from myownmesh.governance.signatures import Checks, finish
from myownmesh.governance.succession import Keep, legacy, sign_anew
from myownmesh.governance.sync import answer, denial
from myownmesh.governance.words import HEARSAY
from myownmesh.identity import Identity
from myownmesh.protocol.codec import encode_frame
from myownmesh.protocol.limits import MAX_FRAME_BYTES
from myownmesh.protocol.transitions import Evict, KindChange, RoleGrant
from myownmesh.simulator.reference_governance import ReferenceGovernance
from support.governance import ALICE, BOB, CAROL, DAVE, DEVICES, ERIN, FRANK, MALLORY, NETWORK, book_of, entry, sign

if TYPE_CHECKING:
    from collections.abc import Sequence

    from myownmesh.governance.book import Book
    from myownmesh.protocol.frames import RosterEntries
    from myownmesh.protocol.transitions import Transition

NOW = 1_000_000
FOUNDED = (entry(KindChange("closed"), ALICE), entry(RoleGrant(CAROL, "controller"), ALICE))
STOLEN_AT = 100
"""Since when somebody else has Carol's laptop."""
BY_CAROL = (
    entry(RoleGrant(DAVE, "member"), CAROL, at=10),
    entry(RoleGrant(ERIN, "member"), ALICE, at=10),
    entry(Evict(ERIN), CAROL, at=20),
    entry(RoleGrant(MALLORY, "member"), CAROL, at=STOLEN_AT),
)


def hears(book: Book, entries: Sequence[Transition]) -> Book:
    while entries:
        done = hear_entries(book, entries, HEARSAY, Checks(NETWORK), NOW, max_checks=100)
        book, entries = done.book, done.rest
    return book


def model(device: str, log: Sequence[Transition], members: Sequence[Transition]) -> ReferenceGovernance:
    made = ReferenceGovernance(NETWORK, next(each for each in DEVICES.values() if each.device_id == device))
    made.take(log, members)
    return made


# ── no. 47: a rogue controller's plants, and its honest decisions ─────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("keep", "stay"),
    [
        (Keep(), {DAVE, MALLORY}),
        (Keep(before=STOLEN_AT), {DAVE}),
        (Keep(frozenset({DAVE})), {DAVE}),
        (Keep(frozenset()), set()),
    ],
    ids=["all of them, the plant too", "older ones", "a list", "none of them"],
)
def test_what_a_rogue_controller_planted_goes_with_it_and_what_it_decided_before_stays(
    keep: Keep, stay: set[str]
) -> None:
    """24.3 no. 47, W11: all that is signed anew makes its plants permanent, nothing loses honest members."""
    owner, member = book_of(FOUNDED, ALICE, NOW), book_of(FOUNDED, FRANK, NOW)
    owner, member = hears(owner, BY_CAROL), hears(member, BY_CAROL)
    for anew in legacy(owner, CAROL):
        if keep.holds(anew):
            owner = sign_anew(owner, anew, sign(ALICE, anew.variant))
    owner = propose(owner, Evict(CAROL), sign(ALICE, Evict(CAROL)), "prop_1", NOW).book
    member = hear_log(member, owner.log, HEARSAY, NOW).book
    joiner = book_of(owner.log.entries, BOB, NOW)
    for each in (owner, hears(member, owner.served()), hears(joiner, owner.served())):
        assert {device for device in (DAVE, MALLORY) if each.role(device) is not None} == stay
        assert each.is_evicted(ERIN), "what it put out stays out, whatever the person chooses"
        assert each.is_evicted(CAROL)


def test_at_v038_the_honest_member_falls_and_who_was_put_out_is_back() -> None:
    evict = entry(Evict(CAROL), ALICE, at=NOW)
    reference = model(FRANK, (*FOUNDED, evict), (*BY_CAROL, evict))
    assert DAVE not in reference.roles
    assert reference.roles[ERIN] == "member"


# ── W15: what does not fit one frame ──────────────────────────────────────────────────────────────────────────────────

OUT, INSIDE = BOB, [Identity.from_seed(sha256(b"%d" % number).digest()).device_id for number in range(240)]
CROWD = (
    *(entry(RoleGrant(each, "member"), ALICE, at=number) for number, each in enumerate([*INSIDE, OUT, FRANK])),
    entry(Evict(OUT), ALICE, at=NOW - 1),
)


@pytest.fixture(scope="module")
def owner() -> Book:
    return hears(book_of(FOUNDED, ALICE, NOW), CROWD)


def frames_of(book: Book) -> list[RosterEntries]:
    return [frame for frame in answer(book, (), (), vouching=False) if frame is not None]


def test_a_network_that_fits_no_frame_is_told_in_several_which_v038_takes_too(owner: Book) -> None:
    frames = frames_of(owner)
    assert len(frames) > 1
    assert max(len(encode_frame(frame)) for frame in frames) <= MAX_FRAME_BYTES
    joiner, reference = book_of(FOUNDED[:1], FRANK, NOW), model(FRANK, (), ())
    for frame in frames:
        reference.hear(frame, ALICE)
        joiner = hears(joiner, frame.member_log)
    assert all(joiner.role(each) == reference.roles[each] == "member" for each in INSIDE)
    assert joiner.is_evicted(OUT)
    assert reference.is_evicted(OUT)


def test_who_is_put_out_of_a_network_that_fits_no_frame_gets_the_proof(owner: Book) -> None:
    deny = denial(owner, OUT)
    assert len(encode_frame(deny)) <= MAX_FRAME_BYTES
    out, checks = hears(book_of(FOUNDED, OUT, NOW), CROWD[:-1]), Checks(NETWORK)
    assert out.role(OUT) == "member"
    proof = finish(read_denial(out, deny, checks))
    assert proof is not None
    assert take_denial(out, deny, proof, checks, NOW).is_evicted(OUT)
    reference = model(OUT, FOUNDED, CROWD[:-1])
    reference.hear(deny, ALICE)
    assert reference.is_evicted(OUT)


def test_at_v038_both_fall_silent() -> None:
    reference = model(ALICE, FOUNDED, CROWD)
    assert list(reference.answer()) == []
    assert list(reference.denial()) == []
