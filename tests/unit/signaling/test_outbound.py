"""Events on their way out: when they are made, kept, paced and dropped."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from myownmesh.protocol.signals import Candidate, SendAnswer, SendCandidate, SendOffer
from myownmesh.protocol.strict_json import compact_json
from myownmesh.signaling.nostr import NostrKey, is_genuine
from myownmesh.signaling.outbound import (
    FRESH_S,
    PUBLISHES_PER_S,
    QUEUE_CAPACITY,
    EventWriter,
    Ledger,
    Outbound,
    PacedQueue,
    Urgency,
)
from support.vectors import load

ABOUT = load("signaling", "about")["fixed_inputs"]
A, B, ROOM = ABOUT["device_A"]["device_id"], ABOUT["device_B"]["device_id"], ABOUT["room"]
CREATED_AT = ABOUT["created_at"]
EVENTS = {case["name"]: case["event"] for case in load("signaling", "nostr_events")["events"]}
SDP = "v=0\r\no=- 42 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=fingerprint:sha-256 AA:BB\r\n"


def writer(name: str = "A") -> EventWriter:
    key = NostrKey(bytes.fromhex(ABOUT[f"nostr_key_{name}"]["secret_hex"]))
    return EventWriter(device_id=ABOUT[f"device_{name}"]["device_id"], room=ROOM, key=key)


def candidate(number: int = 0) -> SendCandidate:
    return SendCandidate(B, Candidate(f"candidate:{number}", "", 0, None))


def test_events_are_the_reference_s_to_the_byte() -> None:
    reference = "candidate:2432910648 1 udp 2130706431 192.168.1.5 54321 typ host"
    answer_sdp = SDP.replace("42 2", "43 2").replace("AA:BB", "CC:DD")
    announce = writer().announce({"r"}, 0.0, CREATED_AT)
    assert announce is not None
    made = {
        "announce from A": announce,
        "offer A to B": writer().offer(SendOffer(B, SDP, "aaaqeayeaudao"), 0.0, CREATED_AT),
        "answer B to A": writer("B").answer(SendAnswer(A, answer_sdp), 0.0, CREATED_AT),
        "candidate A to B": writer().candidate(SendCandidate(B, Candidate(reference, "", 0, None)), 0.0, CREATED_AT),
        "leave from A": writer().leave(0.0, CREATED_AT),
    }
    for name, outbound in made.items():
        assert json.loads(outbound.event.json()) == EVENTS[name], name


def test_two_announces_of_one_second_differ() -> None:
    device = writer()
    announces = [device.announce(set(), 0.0, 100) for _ in range(5)]
    assert [a.event.created_at for a in announces if a is not None] == [100, 101, 102]
    assert announces[3:] == [None, None]
    later = device.announce(set(), 1.0, 101)
    assert later is not None
    assert later.event.created_at == 103


def test_a_clock_that_was_set_back_does_not_silence_a_device() -> None:
    device = writer()
    device.announce(set(), 0.0, 10_000)
    again = device.announce(set(), 1.0, 5_000)
    assert again is not None
    assert again.event.created_at == 5_000


def test_links_that_open_in_one_second_share_an_announce() -> None:
    device = writer()
    first, second = device.announce_on("one", 0.0, 100), device.announce_on("two", 0.1, 100)
    assert first is not None
    assert second is not None
    assert first.event is second.event
    # A link that opens again needs an announce that its relay has not seen.
    again = device.announce_on("one", 0.2, 100)
    assert again is not None
    assert again.event.created_at == 101
    much_later = device.announce_on("three", 5.0, 105)
    assert much_later is not None
    assert much_later.event.created_at == 105


def test_a_link_opens_with_an_announce_however_many_went_before() -> None:
    """After a sleep the ticker, a reflection and the wake all announce on a link that is about to be given up."""
    device = writer()
    for _ in range(4):
        device.announce({"one"}, 0.0, 100)
    opened = device.announce_on("one", 0.1, 100)
    assert opened is not None
    assert opened.event.created_at == 102


def test_a_link_that_opens_after_the_clock_was_set_back_announces_anew() -> None:
    device = writer()
    ahead = device.announce_on("one", 0.0, 10_000)
    back = device.announce_on("two", 0.1, 6_400)
    assert ahead is not None
    assert back is not None
    assert back.event.created_at == 6_400


def test_without_p_tags_the_event_is_another_one_with_the_same_content() -> None:
    device = writer()
    outbound = device.offer(SendOffer(B, SDP, "o"), 0.0, CREATED_AT)
    assert outbound.for_relay(tagged=True, key=device.key) is outbound.event
    untagged = outbound.for_relay(tagged=False, key=device.key)
    assert untagged is outbound.for_relay(tagged=False, key=device.key)
    assert is_genuine(untagged)
    assert untagged.tags == (("r", ROOM),)
    assert untagged.content == outbound.event.content
    announce = device.announce(set(), 0.0, CREATED_AT)
    assert announce is not None
    assert announce.for_relay(tagged=False, key=device.key) is announce.event


SEQUENCES: dict[str, Any] = {case["name"]: case for case in load("signaling", "inbound_decisions")["sequences"]}


def test_the_ledger_keeps_the_newest() -> None:
    ledger, device = Ledger(), writer()
    made = [device.candidate(candidate(n), 0.0, CREATED_AT) for n in range(306)]
    for outbound in made:
        ledger.add(outbound)
    assert len(ledger) == SEQUENCES["outbound replay buffer after 256+50 pushes"]["length"]
    assert ledger.fresh(0.0) == made[50:]


def test_the_ledger_forgets_what_is_stale_or_confirmed() -> None:
    expected = SEQUENCES["drain of one 60 s old and two fresh entries"]
    ledger, device = Ledger(), writer()
    for number, made_at in enumerate((0.0, 55.0, 55.0)):
        ledger.add(device.candidate(candidate(number), made_at, CREATED_AT))
    fresh = ledger.fresh(60.0)
    assert len(fresh) == expected["returned"]
    for outbound in fresh:
        ledger.confirmed(outbound)
    assert len(ledger) == expected["left"]
    ledger.confirmed(fresh[0])


def queue_of(*signals: tuple[Urgency, str], now: float = 0.0) -> PacedQueue:
    queue = PacedQueue(now)
    for urgency, name in signals:
        queue.put(named(urgency, name, now))
    return queue


def named(urgency: Urgency, name: str, now: float) -> Outbound:
    key = NostrKey(b"\x01" * 32)
    return Outbound(key.sign(created_at=0, kind=1, tags=(), content=name), urgency, now)


def drained(queue: PacedQueue, now: float) -> list[str]:
    names = []
    while (outbound := queue.take(now)) is not None:
        names.append(outbound.event.content)
    return names


def test_answers_and_offers_go_before_candidates_and_announces_before_all() -> None:
    queue = queue_of(
        (Urgency.CANDIDATE, "c1"),
        (Urgency.DESCRIPTION, "o1"),
        (Urgency.CANDIDATE, "c2"),
        (Urgency.DESCRIPTION, "o2"),
        (Urgency.AT_ONCE, "leave"),
    )
    assert drained(queue, 0.0) == ["leave", "o1", "o2", "c1", "c2"]


def test_a_link_publishes_forty_at_once_and_forty_per_second() -> None:
    queue = PacedQueue(0.0)
    for number in range(100):
        queue.put(named(Urgency.CANDIDATE, str(number), 0.0))
    assert len(drained(queue, 0.0)) == PUBLISHES_PER_S
    ready = queue.ready_at(0.0)
    assert ready is not None
    assert 0 < ready < 0.03
    assert len(drained(queue, 0.5)) == 20
    assert len(drained(queue, 1.5)) == 40
    assert queue.ready_at(1.5) is None


def test_announces_and_leaves_are_never_held_back_but_take_tokens() -> None:
    queue = queue_of(*[(Urgency.AT_ONCE, str(n)) for n in range(50)])
    assert len(drained(queue, 0.0)) == 50
    queue.put(named(Urgency.CANDIDATE, "c", 0.0))
    assert drained(queue, 0.2) == []
    assert drained(queue, 0.3) == ["c"]


def test_what_waited_too_long_is_dropped() -> None:
    queue = PacedQueue(0.0)
    queue.put(named(Urgency.CANDIDATE, "old", 0.0))
    queue.put(named(Urgency.CANDIDATE, "new", 5.0))
    assert drained(queue, FRESH_S + 1) == ["new"]


def test_a_full_queue_loses_its_oldest_candidates_first() -> None:
    queue = PacedQueue(0.0)
    queue.put(named(Urgency.DESCRIPTION, "offer", 0.0))
    for number in range(QUEUE_CAPACITY):
        queue.put(named(Urgency.CANDIDATE, str(number), 0.0))
    assert len(queue) == QUEUE_CAPACITY
    assert drained(queue, 0.0)[:2] == ["offer", "1"]


def test_what_a_relay_refused_for_its_rate_waits_and_then_goes_first() -> None:
    queue = queue_of((Urgency.CANDIDATE, "next"))
    queue.put_back(named(Urgency.CANDIDATE, "refused", 0.0), until=2.0)
    assert drained(queue, 1.9) == []
    assert queue.ready_at(1.9) == 2.0
    assert drained(queue, 2.0) == ["refused", "next"]


@given(st.lists(st.tuples(st.floats(0, 2), st.sampled_from(Urgency)), max_size=150))
def test_whatever_waits_a_link_stays_below_the_relay_s_limit(steps: list[tuple[float, Urgency]]) -> None:
    queue, now, paced = PacedQueue(0.0), 0.0, 0
    event = named(Urgency.CANDIDATE, compact_json([]), 0.0).event
    for gap, urgency in steps:
        now += gap
        queue.put(Outbound(event, urgency, now))
        while (outbound := queue.take(now)) is not None:
            paced += outbound.urgency is not Urgency.AT_ONCE
        ready = queue.ready_at(now)
        assert ready is None or ready > now
    assert paced <= PUBLISHES_PER_S * (1 + now) + 1


@pytest.mark.parametrize("urgency", list(Urgency))
def test_a_cleared_queue_is_silent(urgency: Urgency) -> None:
    queue = queue_of((urgency, "x"))
    queue.clear()
    assert queue.take(0.0) is None
    assert queue.ready_at(0.0) is None
