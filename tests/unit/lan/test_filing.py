"""Where answers go: another device's name in a line does not take them away (spec 03 §23-S)."""

from __future__ import annotations

from myownmesh.lan.filing import MAX_ACCEPTED, MAX_ACCEPTED_PER_ADDRESS, Filing

KNOWN = ("10.0.0.2",)


def test_an_answer_goes_back_on_the_connection_that_the_offer_came_on() -> None:
    filing: Filing[str] = Filing()
    filing.accepted("c", "10.0.0.2")
    assert filing.to("bob") is None
    assert filing.said("c", "bob", KNOWN)
    assert filing.said("c", "bob", KNOWN)
    assert filing.to("bob") == "c"
    assert filing.of("bob") == ["c"]


def test_also_when_its_sender_cannot_be_resolved() -> None:
    filing: Filing[str] = Filing()
    filing.accepted("c", "10.0.0.9")
    assert filing.said("c", "bob", ())
    assert filing.to("bob") == "c"


def test_whoever_speaks_from_elsewhere_is_heard_and_gets_no_answers() -> None:
    filing: Filing[str] = Filing()
    filing.accepted("c", "10.0.0.9")
    assert filing.said("c", "bob", KNOWN)
    assert filing.to("bob") is None


def test_whoever_sealed_what_it_says_is_answered_wherever_it_is_now() -> None:
    """A device that moved, whose old connection still seems to stand and whose new advert was not heard yet."""
    filing: Filing[str] = Filing()
    filing.dialled("old", "10.0.0.2", "bob")
    filing.accepted("c", "10.0.0.9")
    assert filing.said("c", "bob", KNOWN)
    filing.proved("c")
    assert filing.to("bob") == "c"
    filing.accepted("thief", "10.0.0.8")
    assert filing.said("thief", "bob", KNOWN)
    assert filing.to("bob") == "c"
    filing.finished("c")
    filing.proved("c")
    assert filing.to("bob") is None, "it hung up"


def test_a_name_from_elsewhere_makes_us_dial_anew_and_is_the_last_resort() -> None:
    filing: Filing[str] = Filing()
    filing.dialled("old", "10.0.0.2", "bob")
    assert filing.heard_from("bob") is None
    filing.accepted("c", "10.0.0.9")
    filing.said("c", "bob", KNOWN)
    assert filing.to("bob") is None, "the old one may lead to where it was"
    assert filing.heard_from("bob") == "c"
    filing.finished("c")
    assert filing.heard_from("bob") is None
    filing.proved("old")
    assert filing.to("bob") == "old"


def test_what_nobody_has_spoken_on_proves_nothing() -> None:
    filing: Filing[str] = Filing()
    filing.accepted("c", "10.0.0.2")
    filing.proved("c")
    assert filing.to("bob") is None


def test_a_connection_speaks_for_one_device() -> None:
    filing: Filing[str] = Filing()
    filing.accepted("c", "10.0.0.2")
    filing.dialled("d", "10.0.0.3", "carol")
    assert filing.said("c", "bob", KNOWN)
    assert not filing.said("c", "alice", ())
    assert not filing.said("d", "alice", ())
    assert filing.said("d", "carol", ())
    assert filing.to("alice") is None


def test_what_we_dialled_stays_and_what_others_opened_is_replaced() -> None:
    filing: Filing[str] = Filing()
    filing.accepted("c", "10.0.0.2")
    filing.said("c", "bob", KNOWN)
    filing.accepted("d", "10.0.0.2")
    filing.said("d", "bob", KNOWN)
    assert filing.to("bob") == "d"
    filing.dialled("e", "10.0.0.2", "bob")
    filing.accepted("f", "10.0.0.2")
    filing.said("f", "bob", KNOWN)
    assert filing.to("bob") == "e"


def test_whoever_hung_up_is_not_written_to() -> None:
    filing: Filing[str] = Filing()
    filing.dialled("c", "10.0.0.2", "bob")
    filing.finished("c")
    assert filing.to("bob") is None
    assert len(filing) == 1
    filing.accepted("d", "10.0.0.2")
    filing.closed("d")
    filing.closed("c")
    filing.closed("c")
    assert filing.all() == []


def test_an_older_connection_that_ends_takes_nothing_from_a_newer_one() -> None:
    filing: Filing[str] = Filing()
    filing.dialled("c", "10.0.0.2", "bob")
    filing.dialled("d", "10.0.0.2", "bob")
    filing.closed("c")
    assert filing.to("bob") == "d"


def test_connections_are_bounded_in_all_and_by_address() -> None:
    filing: Filing[int] = Filing()
    for number in range(MAX_ACCEPTED_PER_ADDRESS):
        assert filing.may_accept("10.0.0.2")
        filing.accepted(number, "10.0.0.2")
    assert not filing.may_accept("10.0.0.2")
    for number in range(MAX_ACCEPTED_PER_ADDRESS, MAX_ACCEPTED):
        assert filing.may_accept(f"10.0.1.{number}")
        filing.accepted(number, f"10.0.1.{number}")
    assert not filing.may_accept("10.0.2.1")
    filing.dialled(1000, "10.0.2.1", "bob")
    assert len(filing) == MAX_ACCEPTED + 1
