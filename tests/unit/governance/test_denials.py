"""A deny with proof puts this device out of what it knows, or does nothing at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from myownmesh.governance import signatures
from myownmesh.governance.book import Book
from myownmesh.governance.denials import read_denial, take_denial
from myownmesh.governance.hearing import hear_entries
from myownmesh.governance.pins import Pin
from myownmesh.governance.signatures import Checks, finish
from myownmesh.governance.sync import denial
from myownmesh.governance.words import HEARSAY
from myownmesh.protocol.codec import decode_frame
from myownmesh.protocol.frames import Deny
from myownmesh.protocol.transitions import Evict, KindChange, RoleGrant
from support.governance import ALICE, CAROL, CHECKS, DAVE, ERIN, MALLORY, NETWORK, book_of, entry
from support.vectors import load

if TYPE_CHECKING:
    from collections.abc import Sequence

    from myownmesh.protocol.transitions import Transition

NOW = 2_000_000_000
CLOSE = entry(KindChange("closed"), ALICE)
BASE = (CLOSE, entry(RoleGrant(CAROL, "controller"), ALICE))
ADMIT = entry(RoleGrant(DAVE, "member"), ALICE, at=10)


def holding(log: Sequence[Transition] = BASE, me: str = DAVE, members: Sequence[Transition] = (ADMIT,)) -> Book:
    return hear_entries(book_of(log, me), members, HEARSAY, CHECKS, NOW, max_checks=99).book


def taken(book: Book, deny: Deny) -> Book:
    checks = Checks(NETWORK)
    log = finish(read_denial(book, deny, checks))
    return book if log is None else take_denial(book, deny, log, checks, NOW)


def test_proof_of_the_own_removal_is_kept() -> None:
    author = holding(me=CAROL, members=(ADMIT, entry(Evict(DAVE), CAROL, at=20), entry(Evict(ERIN), ALICE)))
    after = taken(holding(), denial(author, DAVE))
    assert after.is_evicted(DAVE)
    assert after.members.count == 3


def test_a_log_that_grew_on_the_way_comes_with_it() -> None:
    author = holding((CLOSE,), me=ALICE, members=(entry(Evict(DAVE), CAROL, at=20),))
    assert not author.is_evicted(DAVE)
    deny = Deny("evicted", BASE, (entry(Evict(DAVE), CAROL, at=20),))
    after = taken(holding((CLOSE,)), deny)
    assert after.is_evicted(DAVE)
    assert len(after.log) == 2


@pytest.mark.parametrize(
    "deny",
    [
        Deny("evicted"),
        Deny("evicted", BASE),
        Deny("evicted", (), (entry(Evict(ERIN), ALICE),)),
        Deny("evicted", BASE, (entry(Evict(DAVE), MALLORY, at=20),)),
        Deny("evicted", (entry(KindChange("closed"), MALLORY), entry(Evict(DAVE), MALLORY)), ()),
        Deny("evicted", BASE, (msgspec.structs.replace(ADMIT, variant=Evict(DAVE), at=20),)),
        Deny("evicted", (CLOSE, entry(RoleGrant(MALLORY, "owner"), MALLORY)), (entry(Evict(DAVE), MALLORY, at=20),)),
        Deny(
            "evicted",
            BASE,
            (entry(RoleGrant(MALLORY, "member"), ALICE), entry(RoleGrant(DAVE, "member"), ALICE, at=30)),
        ),
    ],
    ids=["empty", "log", "another", "stranger", "other founder", "forged", "bad log", "nothing of us"],
)
def test_what_proves_nothing_changes_nothing(deny: Deny) -> None:
    book = holding()
    assert taken(book, deny) is book


def test_an_unfounded_device_believes_no_deny() -> None:
    """24.3 no. 53: one deny with a single founding entry made v0.3.8 somebody's."""
    deny = Deny("evicted", (entry(KindChange("closed"), MALLORY),), (entry(Evict(DAVE), MALLORY),))
    for kind in ("open", "closed", "silent"):
        book = Book(NETWORK, DAVE, configured=kind)  # type: ignore[arg-type]  # one of the words
        assert taken(book, deny) is book
    joiner = Book(NETWORK, DAVE, Pin(NETWORK).founded_by(ALICE))
    old = Deny("evicted", BASE, (entry(Evict(DAVE), ALICE, at=20),))
    assert (joiner.kind, taken(joiner, old)) == ("closed", joiner), "it may have been let in again since"


def test_the_captured_deny_of_a_running_daemon_is_understood() -> None:
    steps = {case["id"]: case for case in load("governance", "captured")}["fleet"]["steps"]
    frames = [frame["json"] for step in steps for frame in step.get("frames_to_carol", [])]
    denies = [deny for text in frames if isinstance(deny := decode_frame(text.encode()), Deny)]
    assert denies
    founding = holding(denies[-1].transitions[:1], me=CAROL, members=())
    assert taken(founding, denies[-1]).is_evicted(CAROL)


def test_large_proofs_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signatures, "CHECKS_PER_SLICE", 1)
    deny = Deny("evicted", BASE, (ADMIT, entry(Evict(DAVE), CAROL, at=20), entry(Evict(ERIN), ALICE)))
    assert sum(1 for _ in read_denial(holding(), deny, Checks(NETWORK))) == 5, "two of the log, three of the other"
