"""What a device is held to that was told of a founder before it heard anything signed."""

from __future__ import annotations

from myownmesh.governance.pins import Pin, read_pin
from myownmesh.protocol.strict_json import dumps
from myownmesh.protocol.transitions import KindChange, RoleGrant
from support.governance import ALICE, BOB, MALLORY, NETWORK, entry, log_of

TOLD = Pin(NETWORK).founded_by(ALICE)
CLOSE = entry(KindChange("closed"), ALICE)


def test_a_founder_that_was_told_is_the_one_whose_close_is_taken() -> None:
    assert (TOLD.is_set, TOLD.kind, TOLD.entries) == (True, "closed", 0)
    assert TOLD.fits(log_of([CLOSE]), NETWORK)
    assert TOLD.fits(log_of([CLOSE, entry(RoleGrant(BOB, "owner"), ALICE)]), NETWORK)
    assert not TOLD.fits(log_of([entry(KindChange("closed"), MALLORY)]), NETWORK)
    assert not TOLD.fits(log_of([]), NETWORK), "and without a close the network is not entered"


def test_the_founding_that_was_told_is_the_one_that_is_heard() -> None:
    heard = Pin(NETWORK).on(log_of([CLOSE]))
    assert (heard.founder, heard.genesis) == (TOLD.founder, TOLD.genesis)
    assert TOLD.on(log_of([CLOSE])).awaiting(contact=False) == heard


def test_whoever_is_told_of_a_founder_waits_for_somebody_who_knows() -> None:
    assert (TOLD.provisional, TOLD.on(log_of([CLOSE])).provisional) == (True, True)
    assert TOLD.awaiting(contact=True) is TOLD
    assert not TOLD.awaiting(contact=False).provisional


def test_another_network_has_another_founding() -> None:
    assert Pin("fleet-2").founded_by(ALICE).genesis != TOLD.genesis


def test_what_was_known_before_stays() -> None:
    before = Pin(NETWORK, signed=True, refused=(MALLORY,)).keeping({BOB: 7})
    told = before.founded_by(ALICE)
    assert (told.signed, told.refused, told.evicted) == (True, (MALLORY,), {BOB: 7})
    assert read_pin(bytes(dumps(told.to_json())), NETWORK) == told
