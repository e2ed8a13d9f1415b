"""What is signed as a file: what a device hands out is read back as it was, and is nobody's word (spec 10 §2.2)."""

from __future__ import annotations

import msgspec
import pytest

from myownmesh.governance.carried import carried, read_carried
from myownmesh.governance.hearing import hear_entries
from myownmesh.governance.intake import hear_propose, hear_record
from myownmesh.governance.records import Proposal
from myownmesh.governance.words import HEARSAY
from myownmesh.protocol.frames import NetworkStatePropose
from myownmesh.protocol.json_words import JsonError
from myownmesh.protocol.transitions import Evict, KindChange, RoleGrant
from support.governance import ALICE, CAROL, CHECKS, DAVE, FRANK, NETWORK, book_of, entry, sign

NOW = 1_000_000
BASE = (entry(KindChange("closed"), ALICE), entry(RoleGrant(CAROL, "controller"), ALICE))
WISH = Evict(CAROL)
RECORD = Proposal("prop_1", NOW, FRANK, WISH, (FRANK,), (sign(FRANK, WISH),), (), False)


def test_what_is_handed_out_is_read_back() -> None:
    book = hear_entries(
        book_of(BASE, FRANK), [entry(RoleGrant(DAVE, "member"), CAROL)], HEARSAY, CHECKS, NOW, max_checks=9
    ).book
    frame = NetworkStatePropose("prop_1", WISH, FRANK, NOW, sign(FRANK, WISH))
    book = hear_propose(book, frame, FRANK, CHECKS, NOW).book
    found = read_carried(carried(book), NETWORK)
    assert (found.transitions, found.member_log) == (BASE, book.served())
    assert found.pending == (RECORD,)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (b'"version":2', "export version 2 unsupported"),
        (b'"version":1,"x":1', None),
        (b'"version":"1"', "invalid type"),
    ],
)
def test_another_release_s_file_is_refused(change: bytes, complaint: str | None) -> None:
    text = carried(book_of(BASE, FRANK)).replace(b'"version":1', change)
    if complaint is None:
        assert read_carried(text, NETWORK).transitions == BASE
        return
    with pytest.raises(JsonError, match=complaint):
        read_carried(text, NETWORK)


def test_another_network_s_file_and_none_at_all_are_refused() -> None:
    with pytest.raises(JsonError, match="export of network 'fleet-1', not of 'fleet-2'"):
        read_carried(carried(book_of(BASE, FRANK)), "fleet-2")
    for text in (b"[]", b"{}", b'{"format":"other"}'):
        with pytest.raises(JsonError):
            read_carried(text, NETWORK)


def test_a_proposal_out_of_a_file_waits_like_a_peer_s_and_is_no_word() -> None:
    done = hear_record(book_of(BASE, ALICE), RECORD, CHECKS, NOW)
    assert (done.result, done.word, done.charge) == ("pending", None, False)
    assert done.book.proposals.records["prop_1"].proposer == FRANK


def test_a_proposal_that_its_proposer_has_not_signed_is_dropped() -> None:
    book = book_of(BASE, ALICE)
    for forged, charge in (
        (msgspec.structs.replace(RECORD, proposer=DAVE), False),
        (msgspec.structs.replace(RECORD, signatures=(sign(FRANK, KindChange("open")),)), True),
    ):
        done = hear_record(book, forged, CHECKS, NOW)
        assert (done.result, done.book, done.charge) == ("dropped", book, charge)
