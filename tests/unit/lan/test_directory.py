"""Who is there, by adverts; and what becomes of adverts that lie, flood or never end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from myownmesh.lan import txt
from myownmesh.lan.directory import (
    COMPLETE_AT_S,
    GIVE_UP_S,
    GRACE_S,
    MAX_ADVERTS,
    MAX_LIFE_S,
    NEW_BURST,
    NEW_PER_S,
    Address,
    Directory,
    Found,
    Lost,
    Pointer,
    Question,
    Service,
    Text,
)
from myownmesh.lan.endpoints import MAX_ADDRESSES, Endpoint
from myownmesh.lan.names import full_name, host_name, instance_label
from support.examples import examples

if TYPE_CHECKING:
    from myownmesh.lan.directory import Record

ROOM = "ab" * 32
ME = "self"


def directory() -> Directory:
    return Directory(ROOM, ME, 0.0)


def label(peer: str) -> str:
    return instance_label(ROOM, peer)


def advert(
    peer: str = "peer1", *addresses: str, port: int = 41_000, ttl_s: float = 120.0, room: str = ROOM, name: str = ""
) -> list[Record]:
    """All records of an advert, as one answer brings them."""
    name = name or full_name(label(peer))
    host = host_name(label(peer))
    return [
        Address(host, bytes(map(int, address.split("."))), ttl_s) for address in addresses or ("10.0.0.2",)
    ] + [  # before the service that names the host, as some write it
        Pointer(name, 4500 if ttl_s else 0),
        Service(name, host, port, ttl_s),
        Text(name, txt.encode(txt.entries(room, peer)), 4500 if ttl_s else 0),
    ]


def found(changes: list[Found | Lost]) -> list[tuple[str, tuple[str, ...], int, bool]]:
    assert all(isinstance(change, Found) for change in changes), changes
    return [
        (change.advert.peer, change.endpoint.addresses, change.endpoint.port, change.again)
        for change in changes
        if isinstance(change, Found)
    ]


def test_one_packet_is_enough() -> None:
    who = directory()
    assert found(who.heard(advert(), 0.0)) == [("peer1", ("10.0.0.2",), 41_000, False)]
    assert who.peers == ["peer1"]
    assert who.endpoint("peer1") == Endpoint(("10.0.0.2",), 41_000)
    assert who.endpoint("nobody") is None


def test_pieces_are_put_together_in_any_order() -> None:
    who = directory()
    address, pointer, service, text = advert()
    assert who.heard([pointer], 0.0) == []
    assert who.heard([text], 0.1) == []
    assert who.heard([service], 0.2) == []
    assert found(who.heard([address], 0.3)) == [("peer1", ("10.0.0.2",), 41_000, False)]


def test_what_is_missing_is_asked_for_three_times_and_then_given_up() -> None:
    who = directory()
    pointer, name = Pointer(full_name(label("peer1")), 4500), full_name(label("peer1"))
    assert who.heard([pointer], 0.0) == []
    asked = []
    for at in COMPLETE_AT_S:
        assert who.next_due() == at
        asked.append(who.handle_timer(at)[1])
        assert who.handle_timer(at)[1] == []
    assert asked == [[Question(name, "SRV"), Question(name, "TXT")]] * 3
    assert who.next_due() == GIVE_UP_S
    assert who.handle_timer(GIVE_UP_S) == ([], [])
    assert len(who) == 0
    assert who.next_due() is None


def test_only_addresses_are_asked_for_where_only_they_are_missing() -> None:
    who = directory()
    _, *rest = advert()
    who.heard(rest, 0.0)
    assert who.handle_timer(0.0)[1] == [Question(host_name(label("peer1")), "A")]
    name = full_name(label("peer2"))
    who.heard([Service(name, host_name(label("peer2")), 1, 120)], 1.0)
    assert who.handle_timer(1.0)[1][-3:] == [
        Question(name, "SRV"),
        Question(name, "TXT"),
        Question(host_name(label("peer2")), "A"),
    ]


def test_an_advert_is_refreshed_before_it_runs_out_and_lost_when_nobody_answers() -> None:
    who = directory()
    who.heard(advert(), 0.0)
    times = []
    while (due := who.next_due()) is not None and due < 120:
        times.append(due)
        changes, questions = who.handle_timer(due)
        assert changes == []
        assert {question.kind for question in questions} == {"SRV", "A"}
    assert times == [96, 108, 114]
    assert who.handle_timer(120.0)[0] == [Lost("peer1", Endpoint(("10.0.0.2",), 41_000))]
    assert who.peers == []


def test_an_answer_to_the_refresh_keeps_it() -> None:
    who = directory()
    who.heard(advert(), 0.0)
    who.handle_timer(96.0)
    assert found(who.heard(advert(), 96.1)) == [("peer1", ("10.0.0.2",), 41_000, True)]
    assert who.next_due() == pytest.approx(96.1 + 96)


def test_no_advert_lives_longer_than_a_few_minutes_whatever_it_says() -> None:
    who = directory()
    who.heard(advert(ttl_s=2.0**31), 0.0)
    assert who.handle_timer(MAX_LIFE_S)[0] == [Lost("peer1", Endpoint(("10.0.0.2",), 41_000))]


def test_what_is_heard_twice_in_a_second_is_told_once() -> None:
    who = directory()
    who.heard(advert(), 0.0)
    assert who.heard(advert(), 0.5) == []
    assert found(who.heard(advert(), 1.0)) == [("peer1", ("10.0.0.2",), 41_000, True)]
    assert found(who.heard(advert(port=5), 1.1)) == [("peer1", ("10.0.0.2",), 5, False)], "another listener"


def test_a_goodbye_is_a_departure() -> None:
    who = directory()
    who.heard(advert(), 0.0)
    assert who.heard(advert(ttl_s=0), 1.0) == [Lost("peer1", Endpoint(("10.0.0.2",), 41_000))]
    assert who.heard(advert(ttl_s=0), 1.1) == []
    assert len(who) == 0


def test_text_that_is_taken_back_alone_says_nothing() -> None:
    who = directory()
    who.heard(advert(), 0.0)
    assert who.heard([Text(full_name(label("peer1")), b"", 0)], 1.0) == []
    assert who.peers == ["peer1"]


def test_a_device_with_two_adverts_leaves_with_the_second() -> None:
    who = directory()
    renamed = full_name(label("peer1") + " (2)")
    who.heard(advert(), 0.0)
    who.heard(advert(name=renamed), 0.0)
    assert who.heard([Pointer(full_name(label("peer1")), 0)], 1.0) == []
    assert who.heard([Service(renamed, "x.local.", 1, 0)], 2.0) == [Lost("peer1", Endpoint(("10.0.0.2",), 41_000))]


def test_addresses_come_and_go() -> None:
    who = directory()
    who.heard(advert(), 0.0)
    host = host_name(label("peer1"))
    assert found(who.heard([Address(host, bytes((10, 0, 0, 3)), 120)], 0.1)) == [
        ("peer1", ("10.0.0.2", "10.0.0.3"), 41_000, False)
    ]
    for last in (2, 3):
        who.heard([Address(host, bytes((10, 0, 0, last)), 0)], 2.0)
    assert who.handle_timer(2.0 + GIVE_UP_S - 0.1)[0] == [], "another one may follow"
    assert who.handle_timer(2.0 + GIVE_UP_S)[0] != []


def test_an_advert_of_another_host_takes_the_addresses_of_that_one() -> None:
    who = directory()
    who.heard(advert(), 0.0)
    who.heard(advert("peer2", "10.0.0.7"), 0.0)
    moved = [Service(full_name(label("peer1")), host_name(label("peer2")), 41_000, 120)]
    assert found(who.heard(moved, 1.0)) == [("peer1", ("10.0.0.2", "10.0.0.7"), 41_000, False)]
    assert who.is_about(host_name(label("peer2")))
    assert who.is_about(full_name(label("peer3")))
    assert not who.is_about(host_name(label("peer1"))), "no advert is of that host any more"


def test_adverts_of_other_rooms_and_our_own_are_nobody() -> None:
    who = directory()
    other_room = ROOM[:8] + "cd" * 28
    assert who.heard(advert(room=other_room), 0.0) == []
    assert who.heard(advert(ME), 0.0) == []
    assert who.heard([Pointer("printer._ipp._tcp.local.", 10), Pointer(full_name("mom-cdcdcdcd-x"), 10)], 0.0) == []
    assert len(who) == 2
    assert who.peers == []


def test_an_advert_that_becomes_another_ones_is_not_its_own_any_more() -> None:
    who = directory()
    who.heard(advert(), 0.0)
    name = full_name(label("peer1"))
    changes = who.heard([Text(name, txt.encode(txt.entries(ROOM, "thief")), 4500)], 2.0)
    assert changes[0] == Lost("peer1", Endpoint(("10.0.0.2",), 41_000))
    assert found(changes[1:]) == [("thief", ("10.0.0.2",), 41_000, False)]
    assert who.heard([Text(name, b"", 4500)], 3.0) == [Lost("thief", Endpoint(("10.0.0.2",), 41_000))]
    assert who.peers == []


def test_reminders_name_everybody_who_is_there() -> None:
    who = directory()
    who.heard(advert(), 0.0)
    who.heard(advert(ME), 0.0)
    assert found(who.reminders()) == [("peer1", ("10.0.0.2",), 41_000, True)]


def test_without_a_network_nobody_is_lost_and_afterwards_everybody_may_answer() -> None:
    who = directory()
    who.heard(advert(), 0.0)
    who.pause()
    assert who.next_due() is None
    assert who.handle_timer(1000.0) == ([], [])
    who.resume(1000.0)
    changes, questions = who.handle_timer(1000.0 + 0.8 * GRACE_S)
    assert changes == []
    assert questions != []
    assert who.handle_timer(1000.0 + GRACE_S)[0] == [Lost("peer1", Endpoint(("10.0.0.2",), 41_000))]


def test_a_thousand_addresses_of_one_advert_are_a_few() -> None:
    who = directory()
    who.heard(advert("peer1", *(f"10.0.{n // 250}.{n % 250}" for n in range(1000))), 0.0)
    endpoint = who.endpoint("peer1")
    assert endpoint is not None
    assert len(endpoint.addresses) == MAX_ADDRESSES


def test_a_flood_of_adverts_is_a_burst_and_then_a_trickle() -> None:
    who = directory()
    told = [change for n in range(1000) for change in who.heard(advert(f"p{n}"), n / 100)]
    assert len([change for change in told if isinstance(change, Found)]) <= NEW_BURST + 10 * NEW_PER_S + 1
    assert len(who) <= MAX_ADVERTS


def test_where_there_are_too_many_those_that_never_answered_go_first() -> None:
    who = directory()
    who.heard(advert("friend"), 0.0)
    who.answered("friend")
    who.answered("nobody")
    lost: list[str] = []
    for n in range(MAX_ADVERTS + 20):
        changes = who.heard(advert(f"p{n}", ttl_s=1000), n / NEW_PER_S)
        lost += [change.peer for change in changes if isinstance(change, Lost)]
    assert len(who) == MAX_ADVERTS
    assert "friend" in who.peers
    assert lost[0] == "p0"


def test_a_crowd_of_friends_gives_way_to_the_newest() -> None:
    who = directory()
    for n in range(MAX_ADVERTS):
        who.heard(advert(f"p{n}", ttl_s=1000), n / NEW_PER_S)
        who.answered(f"p{n}")
    changes = who.heard(advert("late"), 100.0)
    assert Lost("p0", Endpoint(("10.0.0.2",), 41_000)) in changes
    assert "late" in who.peers


def test_a_crowd_in_one_packet_puts_some_of_itself_out() -> None:
    who = directory()
    for n in range(MAX_ADVERTS):
        who.heard(advert(f"p{n}", ttl_s=1000), n / NEW_PER_S)
        who.answered(f"p{n}")
    crowd = [record for n in range(int(NEW_BURST)) for record in advert(f"q{n}")]
    changes = who.heard(crowd, MAX_ADVERTS / NEW_PER_S + 60)
    assert len(who) == MAX_ADVERTS
    assert [change.advert.peer for change in changes if isinstance(change, Found)] == ["q255"]


names = st.sampled_from([full_name(label("peer1")), full_name(label("peer2")), full_name(label(ME)), "other.local."])
hosts = st.sampled_from([host_name(label("peer1")), host_name(label("peer2"))])
ttls = st.sampled_from([0.0, 1.0, 120.0, 1e9])
texts = st.sampled_from([b"", txt.encode(txt.entries(ROOM, "peer1")), txt.encode(txt.entries(ROOM, "peer2"))])
records = st.one_of(
    st.builds(Pointer, names, ttls),
    st.builds(Service, names, hosts, st.integers(0, 2), ttls),
    st.builds(Text, names, texts, ttls),
    st.builds(Address, hosts, st.binary(min_size=4, max_size=4), ttls),
)


@settings(max_examples=examples(40))
@given(st.lists(st.tuples(st.lists(records, max_size=5), st.floats(0, 200)), max_size=12))
def test_everybody_who_was_found_is_there_until_lost(
    packets: list[tuple[list[Record], float]],
) -> None:
    who, there, now = directory(), set[str](), 0.0
    for packet, seconds in packets:
        now += seconds
        for change in [*who.heard(packet, now), *who.handle_timer(now + 0.01)[0]]:
            if isinstance(change, Found):
                there.add(change.advert.peer)
            else:
                there.remove(change.peer)
        assert set(who.peers) == there
        assert who.next_due() is None or len(who) > 0
