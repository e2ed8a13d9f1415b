"""The printed owner: its text, and what it decides on a device of somebody else (spec 02 §24.3 no. 51)."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from myownmesh.governance.authoring import Refused
from myownmesh.governance.hearing import hear_entries
from myownmesh.governance.marking import is_marked, sign_marked
from myownmesh.governance.recovery_key import BadRecoveryKey, check_owner, decided_by, printed, read_key, signed_anew_by
from myownmesh.governance.signed_bytes import signed_bytes
from myownmesh.governance.succession import legacy
from myownmesh.governance.words import HEARSAY
from myownmesh.identity import Identity
from myownmesh.protocol import base32
from myownmesh.protocol.transitions import Evict, KindChange, RoleGrant
from support.governance import ALICE, CHECKS, DAVE, ERIN, FRANK, NETWORK, book_of, entry

SEED = bytes(range(32))
KEY = Identity.from_seed(SEED)
TEXT = "aaaq-eaye-auda-ocaj-bifq-ydio-b4ib-ceqt-cqkr-mfyy-denb-wha5-d7"


def test_a_key_is_fourteen_groups_of_four() -> None:
    text = printed(SEED)
    assert [len(group) for group in text.split("-")] == [4] * 14
    assert text.startswith(TEXT[:60])
    assert read_key(text) == KEY


@given(st.binary(min_size=32, max_size=32), st.data())
def test_it_is_read_however_it_was_typed_and_one_slip_is_seen(seed: bytes, data: st.DataObject) -> None:
    text = printed(seed)
    typed = f" {text.upper().replace('-', ' ')}\n"
    assert read_key(typed).seed == seed
    plain = text.replace("-", "")
    at = data.draw(st.integers(0, len(plain) - 1))
    other = data.draw(st.sampled_from([c for c in "abcdefghijklmnopqrstuvwxyz234567" if c != plain[at]]))
    with pytest.raises(BadRecoveryKey, match="slip of the pen"):
        read_key(plain[:at] + other + plain[at + 1 :])


@pytest.mark.parametrize("text", ["", "aaaa", TEXT[:-1], TEXT + "11", "ä" * 56])
def test_what_is_no_key_says_so_and_does_not_repeat_it(text: str) -> None:
    with pytest.raises(BadRecoveryKey, match="no recovery key") as caught:
        read_key(text)
    assert not text or text not in str(caught.value)


@pytest.mark.heavy
def test_it_seats_an_owner_and_puts_the_lost_one_out_without_losing_anybody() -> None:
    rng = random.Random(15)
    base = (entry(KindChange("closed"), ALICE), entry(RoleGrant(KEY.device_id, "owner"), ALICE))
    book = book_of(base, FRANK)
    book = hear_entries(
        book,
        [entry(RoleGrant(DAVE, "member"), ALICE, at=10), entry(Evict(ERIN), ALICE, at=20)],
        HEARSAY,
        CHECKS,
        1000,
        max_checks=9,
    ).book

    def sign(variant: RoleGrant | Evict) -> str:
        return sign_marked(KEY, signed_bytes(NETWORK, variant), rng)

    seat = RoleGrant(FRANK, "owner")
    done = decided_by(book, KEY.device_id, seat, sign(seat), 1000)
    assert done.frames == ()
    assert done.entry is not None
    assert is_marked(base32.decode(done.entry.signatures[0], 64))
    book = done.book
    assert (book.me, book.pin.signed) == (FRANK, False)
    for anew in legacy(book, ALICE):
        book = signed_anew_by(book, KEY.device_id, anew, sign(anew.variant))
    book = decided_by(book, KEY.device_id, Evict(ALICE), sign(Evict(ALICE)), 1001).book
    assert book.role(FRANK) == "owner"
    assert book.is_evicted(ALICE)
    assert book.admits(DAVE)
    assert book.is_evicted(ERIN)
    check_owner(book, KEY.device_id)


def test_a_key_that_owns_nothing_decides_nothing() -> None:
    book = book_of((entry(KindChange("closed"), ALICE),), FRANK)
    with pytest.raises(Refused, match="is no owner of fleet-1"):
        decided_by(book, KEY.device_id, RoleGrant(FRANK, "owner"), "x", 1)
