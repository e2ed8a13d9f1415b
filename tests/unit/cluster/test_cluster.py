"""Relays that are one to their clients, without a bus between them: what one says, the others take."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from myownmesh.cluster import cluster as rules
from myownmesh.cluster import entries, outbox
from myownmesh.cluster.cluster import BEAT_S, LEASE_S, Cluster
from myownmesh.cluster.entries import Ask, Connections, Departed, NotOurs, Said, batch, encoded, read_batch
from myownmesh.cluster.outbox import Outbox
from myownmesh.protocol.strict_json import compact_json
from myownmesh.relay import hub
from myownmesh.relay.client import Limits
from myownmesh.relay.hub import Hub
from myownmesh.signaling.nostr import NostrKey
from support.relay_words import texts

if TYPE_CHECKING:
    from myownmesh.relay.client import Client
    from myownmesh.signaling.nostr import NostrEvent

KEY = NostrKey(b"\x07" * 32)
WALL_S = 1_760_000_000


def event(content: str, kind: int = 21077) -> NostrEvent:
    return KEY.sign(created_at=WALL_S, kind=kind, tags=(("r", "room"), ("p", "room")), content=content)


def announce(device: str) -> NostrEvent:
    return event(compact_json({"from": device, "kind": "announce", "peer_id": device}), 1077)


def leave(device: str) -> NostrEvent:
    return event(compact_json({"from": device, "kind": "leave", "peer_id": device}))


def device_of(content: str) -> str:
    return str(json.loads(content)["from"])


class Relay:
    """One of several, with one reader of the room."""

    def __init__(self, name: str, now: float = 0.0, group: str | None = None, **limits: int) -> None:
        self.hub = Hub(Limits(**limits), KEY)
        self.cluster = Cluster(name, self.hub, now, group)
        self.cluster.joined(now)
        self.reader = self.connect(f"reader of {name}", now)
        self.says("REQ", "s", {"#r": ["room"]}, now=now)
        self.heard()

    def connect(self, address: str, now: float = 0.0) -> Client:
        client = self.hub.connect(address, now)
        assert client is not None
        return client

    def says(self, *words: object, client: Client | None = None, now: float = 0.0) -> None:
        self.hub.receive(client or self.reader, compact_json(list(words)).encode(), now)

    def publishes(self, made: NostrEvent, client: Client | None = None, now: float = 0.0) -> None:
        self.says("EVENT", json.loads(made.json()), client=client, now=now)

    def heard(self) -> list[str]:
        """The contents of what the reader was told."""
        said: list[Any] = texts(self.reader.take_output())
        return [words[2]["content"] for words in said if words[0] == "EVENT"]

    def joins(self, now: float = 0.0) -> list[str]:
        """What somebody is shown who comes now."""
        client = self.connect("a joiner", now)
        self.says("REQ", "j", {"#r": ["room"]}, client=client, now=now)
        shown = [words[2]["content"] for words in texts(client.take_output()) if words[0] == "EVENT"]
        self.hub.disconnect(client, now)
        return shown


def settle(now: float, *relays: Relay) -> None:
    """All that is to be said has been heard by all."""
    said = True
    while said:
        said = False
        for relay in relays:
            relay.cluster.handle_timer(now, WALL_S)
            if relay.cluster.is_beat_due(now):
                spread(relay, relay.cluster.take_beat(), now, relays)
            while (data := relay.cluster.take_batch(now)) is not None:
                said = True
                spread(relay, data, now, relays)


def spread(_by: Relay, data: bytes, now: float, relays: tuple[Relay, ...]) -> None:
    for each in relays:  # its own it hears, too
        each.cluster.take(data, now)


def pair() -> tuple[Relay, Relay]:
    a, b = Relay("a"), Relay("b")
    settle(0.0, a, b)
    return a, b


def test_what_is_said_at_one_is_heard_at_the_other_once_and_shown_to_whoever_comes_later() -> None:
    a, b = pair()
    a.publishes(event("hello", 1077))
    settle(0.1, a, b)
    assert (a.heard(), b.heard()) == (["hello"], ["hello"])
    b.publishes(event("hello", 1077))
    settle(0.2, a, b)
    assert (a.heard(), b.heard()) == ([], [])
    assert b.joins() == ["hello"]


def test_who_moves_to_another_relay_has_not_left_and_who_does_not_leaves_after_six_seconds() -> None:
    a, b = pair()
    one, two = a.connect("1"), a.connect("2")
    a.publishes(announce("one"), one)
    a.publishes(announce("two"), two)
    settle(0.1, a, b)
    a.hub.disconnect(one, 1.0)
    a.hub.disconnect(two, 1.0)
    settle(1.0, a, b)
    b.publishes(announce("one"), b.connect("1"), now=2.0)  # the very event that all have heard
    settle(2.0, a, b)
    a.heard(), b.heard()
    for relay in (a, b):
        relay.hub.handle_timer(6.9, WALL_S)
        assert not relay.heard()
        relay.hub.handle_timer(7.1, WALL_S)
        assert [json.loads(each)["from"] for each in relay.heard()] == ["two"]
        assert [json.loads(each)["from"] for each in relay.joins(7.1)] == ["one"]


def test_a_device_that_says_goodbye_is_gone_at_both_and_nobody_is_told_twice() -> None:
    a, b = pair()
    client = a.connect("1")
    a.publishes(announce("one"), client)
    a.publishes(leave("one"), client)
    settle(0.1, a, b)
    assert len(b.heard()) == 2
    b.hub.handle_timer(60.0, WALL_S)
    assert not b.heard()
    assert not b.joins()


def test_a_killed_relays_members_leave_after_fifteen_seconds_unless_heard_elsewhere() -> None:
    a, b = pair()
    a.publishes(announce("one"), a.connect("1"))
    a.publishes(announce("two"), a.connect("2"))
    settle(0.1, a, b)
    b.publishes(announce("two"), b.connect("2"), now=3.0)
    b.heard()
    for now in (5.0, 10.0, 0.1 + LEASE_S - 0.2):
        b.cluster.handle_timer(now, WALL_S)
    assert not b.heard()
    b.cluster.handle_timer(0.1 + LEASE_S + BEAT_S, WALL_S)
    assert [json.loads(each)["from"] for each in b.heard()] == ["one"]
    assert b.hub.elsewhere == {}
    assert not b.hub.held_by(rules.Relay(0.0, 1))


def test_who_was_told_that_the_members_of_a_standing_relay_left_hears_that_they_are_there_when_it_goes_on() -> None:
    a, b = pair()
    client = a.connect("1")
    a.publishes(announce("one"), client)
    settle(0.1, a, b)
    for now in (5.0, 10.0, 0.1 + LEASE_S):
        b.cluster.handle_timer(now, WALL_S)
    assert b.heard() == [announce("one").content, leave("one").content]
    for now in (20.0, 26.0, 32.0):
        settle(now, a, b)
    assert b.heard() == [announce("one").content]
    assert b.joins(32.0) == [announce("one").content]
    a.hub.disconnect(client, 33.0)
    settle(33.0, a, b)
    b.hub.handle_timer(40.0, WALL_S)
    assert b.heard() == [leave("one").content]


def test_who_was_told_of_a_leave_and_heard_the_device_elsewhere_hears_its_old_announce_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hub, "TOLD_LEFT", 1)
    a, b = pair()
    for device in ("one", "two"):
        a.publishes(announce(device), a.connect(device))
    settle(0.1, a, b)
    for now in (5.0, 10.0, 0.1 + LEASE_S):
        b.cluster.handle_timer(now, WALL_S)
    b.publishes(announce("two"), b.connect("two"), now=16.0)
    b.heard()
    for now in (20.0, 26.0, 32.0):
        settle(now, a, b)
    assert not b.heard(), "of so many leaves only the last ones are remembered"


def test_a_relay_that_comes_after_a_killed_one_tells_of_its_members_too() -> None:
    """Whoever was at the killed one and comes back to its successor knew the others that were there."""
    one, killed = Relay("one"), Relay("two")
    for device in ("here", "moved", "lost"):
        (one if device == "here" else killed).publishes(announce(device))
    settle(0.0, one, killed)
    successor = Relay("three", 2.0)
    settle(2.0, one, successor)
    settle(7.0, one, successor)
    successor.publishes(announce("moved"), now=7.0)
    settle(7.0, one, successor)
    one.heard()
    successor.heard()
    told: dict[str, list[str]] = {"one": [], "three": []}
    for second in range(8, 60):
        settle(float(second), one, successor)
        told["one"] += one.heard()
        told["three"] += successor.heard()
    assert told == {"one": [leave("lost").content], "three": [leave("lost").content]}
    assert sorted(map(device_of, successor.joins(60.0))) == ["here", "moved"]


def test_who_has_just_been_announced_and_may_not_be_held_is_not_taken_for_lost() -> None:
    one = Relay("one")
    data = batch("two", 1, [encoded(Said(announce("device").json().encode()))])
    one.cluster.take(data, 0.0)
    settle(LEASE_S + BEAT_S, one)
    assert one.heard() == [announce("device").content]


def test_while_the_bus_is_away_nobody_leaves_and_what_was_said_is_heard_afterwards() -> None:
    a, b = pair()
    a.publishes(announce("one"), a.connect("1"))
    settle(0.1, a, b)
    b.heard()
    for relay in (a, b):
        relay.cluster.parted("no answer")
        assert "no answer" in (relay.cluster.problem(1.0) or "")
    a.publishes(event("kept", 1077), now=50.0)
    a.publishes(event("an offer"), now=50.0)
    for now in (5.0, 10.0, 14.0, 19.0, 50.0, 59.0):
        b.cluster.handle_timer(now, WALL_S)
    assert not b.heard()
    a.cluster.joined(100.0)
    b.cluster.joined(100.0)
    a.cluster.joined(100.0)
    settle(100.0, a, b)
    assert b.heard() == ["kept"], "an offer of fifty seconds ago is none"
    assert b.cluster.problem(100.0) is None


def test_one_that_stood_still_takes_nobody_for_dead() -> None:
    a, b = pair()
    a.publishes(announce("one"), a.connect("1"))
    settle(0.1, a, b)
    b.heard()
    b.cluster.handle_timer(500.0, WALL_S)
    assert not b.heard()


def test_who_comes_later_learns_who_is_there_what_is_kept_and_how_many_are_connected() -> None:
    a, b = pair()
    client = a.connect("192.0.2.1")
    a.publishes(announce("one"), client)
    b.publishes(event("kept", 1077))
    settle(0.1, a, b)
    c = Relay("c", 20.0, max_connections_per_ip=1)
    c.cluster.take(
        batch("b", 1, [encoded(Said(event("past", 1077).json().encode(), True))]), 20.0, age_s=9.0, is_past=True
    )
    assert c.heard() == ["past"]
    a.cluster.take_beat()
    settle(20.0, a, b, c)
    settle(26.0, a, b, c)
    assert {"kept"} < set(c.joins(26.0))
    assert c.hub.connect("192.0.2.1", 26.0) is None, "it has one at another relay"
    a.hub.disconnect(client, 27.0)
    settle(27.0, a, b, c)
    assert c.hub.connect("192.0.2.1", 27.0) is not None


def test_after_a_gap_everything_is_said_anew_and_whoever_is_not_named_has_left() -> None:
    a, b = pair()
    client = a.connect("1")
    a.publishes(announce("one"), client)
    a.publishes(announce("two"), a.connect("2"))
    settle(0.1, a, b)
    a.hub.disconnect(client, 6.0)
    while a.cluster.take_batch(6.0) is not None:
        pass  # nobody hears it
    b.heard()
    b.cluster.jumped(6.0)  # as over something that nobody can read
    assert "somebody else speaks" in (b.cluster.problem(6.0) or "")
    settle(6.0, a, b)
    b.hub.handle_timer(12.1, WALL_S)
    assert [json.loads(each)["from"] for each in b.heard()] == ["one"]


def test_a_batch_that_was_not_heard_shows_by_the_number_of_the_next_one() -> None:
    a, b = pair()
    client = a.connect("1")
    a.publishes(announce("one"), client, now=6.0)
    a.publishes(event("kept", 1077), now=6.0)
    assert a.cluster.take_batch(6.0) is not None, "and nobody hears it"
    a.publishes(event("heard"), now=6.1)
    settle(6.1, a, b)
    assert sorted(b.heard()) == sorted([announce("one").content, "heard", "kept"])
    assert b.joins(6.2) == [announce("one").content, "kept"]


def test_what_was_heard_before_is_not_heard_again() -> None:
    a, b = pair()
    client = a.connect("1")
    a.publishes(announce("one"), client, now=1.0)
    said = a.cluster.take_batch(1.0)
    assert said is not None
    b.cluster.take(said, 1.0)
    a.hub.disconnect(client, 2.0)
    settle(2.0, a, b)
    b.cluster.take(said, 3.0)
    b.heard()
    b.hub.handle_timer(8.1, WALL_S)
    assert [json.loads(each)["kind"] for each in b.heard()] == ["leave"]


def test_whoever_is_of_the_same_group_is_heard_in_another_way() -> None:
    a, sibling, other = Relay("group-1", group="group-"), Relay("group-2", group="group-"), Relay("other-1")
    settle(0.0, a, sibling, other)
    a.publishes(event("hello", 1077))
    settle(0.1, a, sibling, other)
    assert (sibling.heard(), other.heard()) == ([], ["hello"])
    other.publishes(event("and hello", 1077))
    settle(0.2, a, sibling, other)
    assert (a.heard(), sibling.heard()) == (["hello", "and hello"], ["and hello"])


def test_two_ways_to_others_are_both_told() -> None:
    a, far, near = Relay("a"), Relay("b"), Relay("c")
    second = Cluster("a", a.hub, 0.0)
    second.joined(0.0)
    client = a.connect("1", 1.0)
    a.publishes(announce("one"), client, now=1.0)
    a.hub.disconnect(client, 2.0)
    for cluster, reader in ((a.cluster, far), (second, near)):
        cluster.handle_timer(2.0, WALL_S)
        while (said := cluster.take_batch(2.0)) is not None:
            reader.cluster.take(said, 2.0)
        assert reader.heard() == [announce("one").content]


def test_who_goes_while_everything_is_said_is_not_said_to_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "BATCH_BYTES", 1)
    a, b = pair()
    client = a.connect("1")
    a.publishes(announce("stays"), a.connect("2"))
    a.publishes(announce("one"), client)
    settle(0.1, a, b)
    a.cluster.take(batch("b", 99, [encoded(Ask("a", False)), encoded(Ask("somebody else", True))]), 6.0)
    a.cluster.handle_timer(6.0, WALL_S)
    first = [a.cluster.take_batch(6.0) for _ in range(4)]  # counts, the beginning, counts again, the first device
    a.hub.disconnect(client, 6.0)
    while (said := a.cluster.take_batch(6.0)) is not None:
        first.append(said)
    for each in first:
        b.cluster.take(each or b"", 6.0)
    b.hub.handle_timer(12.1, WALL_S)
    assert [json.loads(each)["from"] for each in b.joins(12.1)] == ["stays"]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff" * 100,
        b"{}",
        msgspec.msgpack.encode([2, "x", 1, []]),
        msgspec.msgpack.encode([1, "", 1, []]),
        msgspec.msgpack.encode([1, "x" * 33, 1, []]),
        msgspec.msgpack.encode([1, "x", 1, [["e"]]]),
        msgspec.msgpack.encode([1, "x", 1, [["never heard of"]]]),
        b"\x91" * 10_000,
        bytes(entries.MAX_BATCH_BYTES + 1),
        batch("x", 1, [encoded(Said(b"no event"))]),
        batch("x", 1, [encoded(Said(b'{},{"id":1}'))]),
        batch("x", 1, [encoded(Said(event("in other words").json().replace(",", ", ").encode(), True))]),
        batch("x", 1, [encoded(Said(event("forged").json().replace("forged", "other").encode(), True))]),
    ],
)
def test_what_is_none_of_ours_is_counted_and_nothing_else(data: bytes) -> None:
    a, b = pair()
    b.cluster.take(data, 1.0)
    assert "somebody else speaks" in (b.cluster.problem(2.0) or "")
    assert b.cluster.problem(100.0) is None
    assert not b.heard()
    a.publishes(event("as ever"))
    settle(1.0, a, b)
    assert b.heard() == ["as ever"]


def test_whoever_floods_the_bus_fills_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "RELAYS", 8)
    monkeypatch.setattr(rules, "ADDRESSES", 4)
    _, b = pair()
    for number in range(50):
        counts = {f"{number}.{each}": 1 for each in range(9)} | {"x" * 65: 1, "too many": 10**9, "negative": -5}
        b.cluster.take(
            batch(f"r{number}", 1, [encoded(Connections(counts)), encoded(Departed((("r", "d"),), False))]), 1.0
        )
    assert len(b.hub.elsewhere) <= 8 * 4
    b.cluster.handle_timer(10.0, WALL_S)
    b.cluster.handle_timer(16.5, WALL_S)
    assert not b.hub.elsewhere


def test_what_waits_is_bounded_and_what_went_is_said_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "OUTBOX_ENTRIES", 3)
    a, b = pair()
    a.cluster.parted("away")
    for number in range(6):
        a.publishes(event(f"{number}", 1077), now=10.0)
    a.cluster.joined(11.0)
    settle(11.0, a, b)
    assert sorted(b.heard()) == [f"{number}" for number in range(6)]


def test_a_batch_has_room_for_one_long_entry_or_many_short_ones() -> None:
    waiting = Outbox()
    for size in (outbox.BATCH_BYTES + 1, 10, 20, outbox.BATCH_BYTES):
        waiting.add(bytes(size))
    assert [[len(each) for each in waiting.take(0.0)] for _ in range(4)] == [
        [outbox.BATCH_BYTES + 1],
        [10, 20],
        [outbox.BATCH_BYTES],
        [],
    ]


def test_a_batch_is_read_as_it_was_written() -> None:
    assert read_batch(batch("a", 7, [encoded(Ask("b", True))])) == ("a", 7, [Ask("b", True)])
    with pytest.raises(NotOurs):
        read_batch(b"\xc1")


def test_when_something_is_due() -> None:
    a, _ = pair()
    assert a.cluster.next_timer() == a.cluster.next_beat() == BEAT_S
    a.connect("somebody")
    assert a.cluster.next_timer() < BEAT_S


def test_while_the_bus_is_away_nothing_is_due_at_every_moment() -> None:
    """Else the relay would ask itself without pause, and spend a processor on it."""
    a, _ = pair()
    a.cluster.parted("no answer")
    a.connect("somebody")
    for now in (3 * BEAT_S, 60.0):
        a.cluster.handle_timer(now, WALL_S)
        assert a.cluster.next_timer() == now + BEAT_S
