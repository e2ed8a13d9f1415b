"""The hosted relay without sockets: dialogues, limits, presence (spec 03 §19)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from myownmesh.protocol.strict_json import compact_json, dumps, proven, python_value
from myownmesh.relay import client as relay_client
from myownmesh.relay import hub as relay_hub
from myownmesh.relay import store as relay_store
from myownmesh.relay.client import Limits
from myownmesh.relay.filters import EVERYTHING, decode_filter, read_filter, tags_of
from myownmesh.relay.hub import Hub
from myownmesh.relay.presence import PAIRS_PER_CONNECTION, Elsewhere
from myownmesh.relay.store import EventStore, announced_device, stored_event
from myownmesh.relay.upgrade import client_address
from myownmesh.signaling.nostr import NostrKey, decode_event, is_genuine
from support.examples import examples
from support.relay_words import texts
from support.vectors import load

if TYPE_CHECKING:
    from myownmesh.relay.client import Client
    from myownmesh.signaling.nostr import NostrEvent, Tags

VECTORS = load("signaling", "relay_server")
RELAY_KEY = NostrKey(b"\x03" * 32)
KEY, OTHER_KEY = NostrKey(b"\x01" * 32), NostrKey(b"\x02" * 32)
WALL_S = 1_700_000_000


def new_hub(*, any_filter: bool = False, **limits: int) -> Hub:
    return Hub(Limits(**limits), RELAY_KEY, any_filter=any_filter)


def connected(hub: Hub, address: str = "192.0.2.1", now: float = 0.0) -> Client:
    client = hub.connect(address, now)
    assert client is not None
    return client


def event(
    content: object = "",
    *,
    kind: int = 1077,
    room: str = "room1",
    created_at: int = WALL_S,
    key: NostrKey = KEY,
    tags: Tags | None = None,
) -> NostrEvent:
    text = content if isinstance(content, str) else compact_json(content)
    return key.sign(created_at=created_at, kind=kind, tags=(("r", room),) if tags is None else tags, content=text)


def announce(device: str, *, room: str = "room1", created_at: int = WALL_S, key: NostrKey = KEY) -> NostrEvent:
    content = {"from": device, "to": None, "kind": "announce", "peer_id": device, "caps": ["ptag"]}
    return event(content, room=room, created_at=created_at, key=key)


def leave(device: str, *, key: NostrKey = KEY) -> NostrEvent:
    return event({"from": device, "to": None, "kind": "leave", "peer_id": device}, kind=21077, key=key)


def say(hub: Hub, client: Client, *message: object, now: float = 0.0) -> list[Any]:
    """Send one frame; return what came back to this client."""
    hub.receive(client, compact_json(list(message)).encode(), now)
    return heard(client)


def publish(hub: Hub, client: Client, made: NostrEvent, now: float = 0.0) -> list[Any]:
    hub.receive(client, f'["EVENT",{made.json()}]'.encode(), now)
    return heard(client)


def heard(client: Client) -> list[Any]:
    return texts(client.take_output())


def as_json(made: NostrEvent) -> Any:
    return json.loads(made.json())


ROOM1 = {"kinds": [1077], "#r": ["room1"]}


# ── filters ───────────────────────────────────────────────────────────────────────────────────────────────────────────

FILTER_EVENTS = [decode_event(dumps(value)) for value in VECTORS["filter_events"]]


@pytest.mark.parametrize("case", VECTORS["filters"], ids=lambda case: compact_json(case["filters"]))
def test_filters(case: dict[str, Any]) -> None:
    filters = [decode_filter(value) for value in case["filters"]] or [EVERYTHING]
    assert filters == ([read_filter(compact_json(value).encode()) for value in case["filters"]] or [EVERYTHING])
    matching = [
        index
        for index, made in enumerate(FILTER_EVENTS)
        if any(known is not None and known.matches(made, tags_of(made)) for known in filters)
    ]
    assert matching == case["match"]


@pytest.mark.parametrize("space", ["", " " * 300])
@pytest.mark.parametrize(
    "text", ['{"kinds":[1],"kinds":[-0,1.0,true,2],"#r":["a"]}', '{"since":99999999999999999999}', "7"]
)
def test_a_filter_is_read_as_what_it_is_as_free_json(text: str, space: str) -> None:
    assert read_filter((space + text).encode()) == decode_filter(python_value(proven(text.encode())))


@pytest.mark.parametrize("case", VECTORS["filters"], ids=lambda case: compact_json(case["filters"]))
@pytest.mark.parametrize("live", [False, True])
def test_filters_hold_for_the_replay_and_for_live_events(case: dict[str, Any], live: bool) -> None:
    hub = new_hub(any_filter=True)
    reader, writer = connected(hub), connected(hub)
    if live:
        say(hub, reader, "REQ", "s", *case["filters"])
    for made in FILTER_EVENTS:
        publish(hub, writer, made)
    frames = heard(reader) if live else say(hub, reader, "REQ", "s", *case["filters"])[:-1]
    assert frames == [["EVENT", "s", as_json(FILTER_EVENTS[index])] for index in case["match"]]


# ── dialogues ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_every_dialogue_of_the_vectors_is_held_here_or_over_a_socket() -> None:
    assert {case["name"] for case in VECTORS["dialogues"]} == {
        "nothing stored",
        "publish accepted",
        "publish refused",
        "ephemeral not stored",
        "65th subscription on one connection",
        "65th connection from one address (or 2nd when the cap is 1)",
        "51st rate violation",
        "owner socket drops",
        "undecodable event",
        "malformed REQ",
        "empty subscription id",
        "frame of exactly max_message_bytes",
        "WebSocket ping",  # tests/integration/signaling
        "device announces three times on one connection, then REQ",
        "own leave, then the socket closes",
    }


def test_nothing_stored() -> None:
    hub = new_hub()
    assert say(hub, connected(hub), "REQ", "sub1", {"kinds": [1077], "#r": ["room1"]}) == [["EOSE", "sub1"]]


def test_publish_accepted() -> None:
    hub = new_hub()
    reader, writer = connected(hub), connected(hub)
    say(hub, reader, "REQ", "sub1", ROOM1)
    say(hub, writer, "REQ", "mine", ROOM1)
    made = announce("dev")
    # The publisher's own subscription hears it too, before the OK.
    assert publish(hub, writer, made) == [["EVENT", "mine", as_json(made)], ["OK", made.id, True, ""]]
    assert heard(reader) == [["EVENT", "sub1", as_json(made)]]
    assert hub.activity.events_relayed == 1


@pytest.mark.parametrize("replaced", [{"id": "00" * 32}, {"sig": "00" * 64}, {"sig": ""}, {"content": "x"}])
def test_publish_refused(replaced: dict[str, str]) -> None:
    hub = new_hub()
    client = connected(hub)
    forged = {**as_json(announce("dev")), **replaced}
    assert say(hub, client, "EVENT", forged) == [["OK", forged["id"], False, "invalid: bad signature"]]
    assert say(hub, client, "REQ", "s", ROOM1) == [["EOSE", "s"]]


def test_ephemeral_not_stored() -> None:
    hub = new_hub()
    client = connected(hub)
    publish(hub, client, event("x", kind=21077))
    assert say(hub, client, "REQ", "s", {"#r": ["room1"]}) == [["EOSE", "s"]]


def test_subscriptions_are_limited_but_the_same_id_replaces() -> None:
    hub = new_hub(max_req_rate=0)
    client = connected(hub)
    for number in range(64):
        assert say(hub, client, "REQ", f"s{number}", ROOM1) == [["EOSE", f"s{number}"]]
    too_many = [["CLOSED", "s65", "rate-limited: too many subscriptions"]]
    assert say(hub, client, "REQ", "s65", {}) == too_many
    assert say(hub, client, "REQ", "s1", {"#r": ["other"]}) == [["EOSE", "s1"]]
    assert say(hub, client, "CLOSE", "s1") == []
    assert say(hub, client, "REQ", "s65", ROOM1) == [["EOSE", "s65"]]


def test_subscriptions_are_limited_in_bytes_and_rooms_too() -> None:
    hub = new_hub(max_req_rate=0)
    client = connected(hub)
    rooms = [f"r{number}" for number in range(600)]
    assert say(hub, client, "REQ", "a", {"#r": rooms}) == [["EOSE", "a"]]
    assert say(hub, client, "REQ", "b", {"#r": [*rooms, "x"]})[0][0] == "CLOSED"
    big = {"#r": ["room1"], "ids": ["x" * 60_000]}
    answers = [say(hub, client, "REQ", f"big{number}", big)[0][0] for number in range(20)]
    assert "CLOSED" in answers


def test_connections_from_one_address_are_limited() -> None:
    hub = new_hub(max_connections_per_ip=1)
    client = connected(hub)
    assert hub.connect("192.0.2.1", 0.0) is None
    connected(hub, "192.0.2.2")
    hub.disconnect(client, 0.0)
    connected(hub)
    assert hub.activity.connections == 2
    assert hub.activity.connections_total == 3


def test_undecodable_events_and_malformed_requests_cost_tokens_and_get_silence() -> None:
    hub = new_hub(max_event_rate=1, max_req_rate=1)
    client = connected(hub)
    for _ in range(4):
        assert say(hub, client, "EVENT", {"kind": 70000}) == []
        assert say(hub, client, "REQ", 1, {}) == []
    made = announce("dev")
    assert publish(hub, client, made) == [["OK", made.id, False, "rate-limited: slow down"]]
    assert say(hub, client, "REQ", "s", ROOM1) == []


def test_empty_subscription_id() -> None:
    hub = new_hub()
    assert say(hub, connected(hub), "REQ", "", {"#r": ["x"]}) == [["EOSE", ""]]


@pytest.mark.parametrize(
    ("filters", "answer"),
    [
        ([], "CLOSED"),
        ([{}], "CLOSED"),
        ([{"kinds": [1077]}], "CLOSED"),
        ([{"#r": ["a"]}, {}], "CLOSED"),
        ([5], "CLOSED"),
        ([{"#r": ["a"]}], "EOSE"),
        ([{"ids": ["a"]}], "EOSE"),
        ([{"#r": "not a list"}], "EOSE"),
    ],
)
def test_nobody_sees_all_rooms(filters: list[object], answer: str) -> None:
    hub = new_hub()
    closed = ["CLOSED", "s", "restricted: a filter needs #r or ids"]
    assert say(hub, connected(hub), "REQ", "s", *filters) == ([closed] if answer == "CLOSED" else [["EOSE", "s"]])


def test_surplus_filters_are_cut_off() -> None:
    hub = new_hub(max_filters_per_req=1)
    client = connected(hub)
    assert say(hub, client, "REQ", "s", {"#r": ["other"]}, {}) == [["EOSE", "s"]]
    publish(hub, client, announce("dev"))
    assert say(hub, client, "REQ", "s", {"#r": ["other"]}, ROOM1) == [["EOSE", "s"]]


@pytest.mark.parametrize("filler", ["x", "é", "😀"])
def test_a_frame_of_exactly_the_limit_is_handled_and_one_byte_more_is_a_strike(filler: str) -> None:
    hub = new_hub(max_message_bytes=1000)
    client = connected(hub)
    frame = '["REQ","s",{"#r":["room1"],"x":"%s"}]'
    left = 1000 - len(frame) + 2
    fitting = frame % (filler * (left // len(filler.encode())) + "y" * (left % len(filler.encode())))
    assert len(fitting.encode()) == 1000
    hub.receive(client, fitting.encode(), 0.0)
    assert heard(client) == [["EOSE", "s"]]
    for _ in range(50):
        hub.receive(client, f"{fitting} ".encode(), 0.0)
    assert heard(client) == []
    assert client.ended is None
    hub.receive(client, f"{fitting} ".encode(), 0.0)
    assert client.ended == (1008, "rate limit exceeded")


def test_the_51st_violation_ends_the_connection_with_a_reason() -> None:
    hub = new_hub(max_req_rate=1)
    client = connected(hub)
    for _ in range(4 + 50):
        say(hub, client, "REQ", "s", ROOM1)
    assert client.ended is None
    assert say(hub, client, "REQ", "s", ROOM1) == VECTORS_51ST
    assert client.ended == (1008, "rate limit exceeded")
    client.send("x")
    assert heard(client) == []


VECTORS_51ST = next(case["ours"][:1] for case in VECTORS["dialogues"] if case["name"] == "51st rate violation")


def test_strikes_are_forgotten_one_per_second_and_a_link_may_burst_to_four_seconds_worth() -> None:
    hub = new_hub(max_event_rate=5)
    client = connected(hub)
    made = [announce("dev", created_at=WALL_S + n) for n in range(600)]
    accepted = [publish(hub, client, made[n])[0][2] for n in range(21)]
    assert accepted == [True] * 20 + [False]
    for number in range(49):
        publish(hub, client, made[21 + number])
    assert client.ended is None
    assert publish(hub, client, made[100], now=10.0)[0][2] is True
    # Ten of the fifty strikes are forgotten by now.
    for number in range(19 + 10):
        publish(hub, client, made[200 + number], now=10.0)
    assert client.ended is None
    publish(hub, client, made[300], now=10.0)
    assert client.ended is not None


def test_useless_frames_are_not_free() -> None:
    hub = new_hub()
    client = connected(hub)
    for text in ["", "x", "{}", "[]", "[1]", '["AUTH","x"]', '["COUNT","s",{}]', '["CLOSE"]', "[" * 200] * 20:
        hub.receive(client, text.encode(), 0.0)
    assert client.ended is not None
    assert heard(client) == VECTORS_51ST


def test_a_repeated_event_is_confirmed_and_not_relayed_again() -> None:
    hub = new_hub()
    reader, writer = connected(hub), connected(hub)
    say(hub, reader, "REQ", "s", ROOM1)
    made = announce("dev")
    publish(hub, writer, made)
    heard(reader)
    assert publish(hub, writer, made) == [["OK", made.id, True, "duplicate:"]]
    assert heard(reader) == []
    forged = {**as_json(made), "sig": "00" * 64}
    assert say(hub, writer, "EVENT", forged) == [["OK", made.id, False, "invalid: bad signature"]]


def test_what_another_one_says_under_the_id_and_signature_of_a_known_event_is_not_known() -> None:
    hub = new_hub()
    writer, liar = connected(hub), connected(hub)
    made = announce("dev")
    publish(hub, writer, made)
    forged = replace(made, content=announce("somebody-else").content)
    assert publish(hub, liar, forged) == [["OK", made.id, False, "invalid: bad signature"]]
    assert hub.hear(forged.encoded(), Elsewhere(), 0.0) is None
    assert [found.event.id for found in hub.stored(0.0)] == [made.id]
    assert [each.announces for each in hub.present_here()] == [("room1", "dev")]


def test_a_client_that_does_not_read_is_dropped_before_it_fills_the_memory() -> None:
    hub = new_hub(max_event_rate=0, max_message_bytes=0)
    slow, writer = connected(hub), connected(hub)
    say(hub, slow, "REQ", "s", {"#r": ["room1"]})
    for number in range(20):
        publish(hub, writer, event("x" * 300_000, kind=21077, created_at=number))
    assert slow.ended is not None
    assert slow.take_output() == b""


# ── what is remembered ────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_device_that_announced_three_times_is_replayed_three_times() -> None:
    hub = new_hub()
    client = connected(hub)
    made = [announce("dev", created_at=WALL_S + number) for number in range(3)]
    for each in made:
        publish(hub, client, each)
    frames = say(hub, client, "REQ", "s", {**ROOM1, "since": WALL_S + 1})
    assert frames == [*[["EVENT", "s", as_json(each)] for each in made[1:]], ["EOSE", "s"]]


def test_a_live_member_is_shown_when_its_announce_is_no_longer_stored() -> None:
    hub = new_hub()
    client = connected(hub)
    made = announce("dev")
    publish(hub, client, made)
    late = 1000.0
    publish(hub, client, announce("other", room="elsewhere"), now=late)
    assert say(hub, client, "REQ", "s", ROOM1, now=late) == [["EVENT", "s", as_json(made)], ["EOSE", "s"]]
    since = {**ROOM1, "since": WALL_S + 1}
    assert say(hub, client, "REQ", "s", since, now=late) == [["EOSE", "s"]]


def test_a_replay_shows_at_most_the_newest_five_hundred() -> None:
    hub = new_hub(max_event_rate=0)
    client = connected(hub)
    for number in range(501):
        publish(hub, client, event(str(number), kind=1))
    frames = say(hub, client, "REQ", "s", {"#r": ["room1"]})
    assert len(frames) == VECTORS["constants"]["max_replay_per_req"] + 1
    assert frames[0][2]["content"] == "1"
    assert frames[-2][2]["content"] == "500"


def test_the_store_is_bounded_in_count_bytes_age_and_per_room(monkeypatch: pytest.MonkeyPatch) -> None:
    constants = VECTORS["constants"]
    assert constants["stored_max"] == relay_store.STORED_EVENTS
    assert constants["stored_retention_s"] == relay_store.RETENTION_S
    assert constants["max_replay_per_req"] == relay_hub.REPLAY_EVENTS
    assert constants["strike_limit"] == relay_client.STRIKES
    monkeypatch.setattr(relay_store, "STORED_EVENTS", 10)
    monkeypatch.setattr(relay_store, "ROOM_EVENTS", 4)
    store = EventStore()
    quiet = stored_event(event("quiet", room="quiet"), 0.0)
    store.add(quiet)
    for number in range(50):
        store.add(stored_event(event(str(number), room="busy"), 1.0))
    assert len(store) == 5
    assert [found.event.content for found in store.find([], ["busy"])] == ["46", "47", "48", "49"]
    assert store.find(["unknown"], ["quiet", "nowhere"]) == [quiet]
    for number in range(20):
        store.add(stored_event(event("x", room=f"room{number}"), 2.0))
    assert len(store) == 10
    store.expire(902.1)
    assert len(store) == 0
    monkeypatch.setattr(relay_store, "ROOM_BYTES", 2000)
    for number in range(10):
        store.add(stored_event(event(f"{number}" + "x" * 500, room="big"), 3.0))
    assert len(store) == 2
    monkeypatch.setattr(relay_store, "STORED_BYTES", 3000)
    store.add(stored_event(event("y" * 1500, room="another"), 3.0))
    assert len(store) == 2


def test_what_is_published_once_more_after_long_is_kept_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_store, "ROOM_BYTES", 2000)
    store = EventStore()
    for _ in range(5):  # by then the hub has forgotten that it knows it
        store.add(stored_event(event("x" * 500), 0.0))
    store.add(stored_event(event("last"), 0.0))
    assert [found.event.content[0] for found in store.find([], ["room1"])] == ["x", "l"]


@pytest.mark.parametrize(
    ("before", "behind", "is_taken"),
    [("", "", True), (" ", " ", True), ("", ",7", True), ("", ",1e999", False), ("", "]", False), ("1,", "", False)],
)
def test_an_event_is_taken_in_any_spelling_that_is_json(before: str, behind: str, is_taken: bool) -> None:
    hub = new_hub()
    client, made = connected(hub), event("x")
    hub.receive(client, f'["EVENT",{before}{made.json()}{behind}]'.encode(), 0.0)
    assert heard(client) == ([["OK", made.id, True, ""]] if is_taken else [])


def test_what_is_kept_of_announces_names_the_room_once_and_stands_in_the_text_alone() -> None:
    said = [compact_json({"kind": "announce", "from": f"device{number}"}) for number in range(2)]
    kept = [stored_event(event(each, room=f"a room that {2} share"), 0.0) for each in said]
    assert kept[0].rooms[0] is kept[1].rooms[0]
    assert kept[0].event.tags[0][1] is kept[0].rooms[0]
    for text, stored in zip(said, kept, strict=True):
        assert stored.event.content == ""
        assert json.loads(stored.text)["content"] == text
        assert stored.announces is not None


def test_an_event_is_found_by_any_of_its_rooms_and_by_id() -> None:
    hub = new_hub()
    client = connected(hub)
    made = event("x", kind=1, tags=(("r", "x"), ("r", "room1"), ("r", "x")))
    loose = event("y", kind=1, tags=())
    publish(hub, client, made)
    publish(hub, client, loose)
    for filters in ({"#r": ["room1"]}, {"#r": ["x", "room1"]}, {"ids": [made.id]}, {"ids": [made.id], "#r": ["x"]}):
        frames = say(hub, client, "REQ", "s", filters)
        assert frames == [["EVENT", "s", as_json(made)], ["EOSE", "s"]]
    assert say(hub, client, "REQ", "s", {"ids": [loose.id]})[0] == ["EVENT", "s", as_json(loose)]


# ── presence ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("case", VECTORS["presence_of"], ids=lambda case: compact_json(case["content"]))
def test_presence_of(case: dict[str, Any]) -> None:
    made = event(case["content"], kind=case["kind"], room=case["r"])
    found = announced_device(made)
    assert (None if found is None else list(found)) == case["presence"]


@pytest.mark.parametrize(
    "content",
    ["announce", "[]", '{"kind":"announce"}', '{"kind":"announce","from":5}', '{"kind":"announce","from":"é"}'],
)
def test_an_announce_without_a_device_is_no_presence(content: str) -> None:
    assert announced_device(event(content)) is None
    assert announced_device(event(content, tags=())) is None


def gone(hub: Hub, reader: Client, now: float) -> list[Any]:
    hub.handle_timer(now, WALL_S)
    return heard(reader)


def reader_of(hub: Hub) -> Client:
    reader = connected(hub, "198.51.100.1")
    say(hub, reader, "REQ", "s", {"#r": ["room1"]})
    return reader


def test_a_device_whose_socket_drops_is_said_to_have_left_six_seconds_later() -> None:
    device = load("signaling", "about")["fixed_inputs"]["device_A"]["device_id"]
    reference = next(
        case["event"] for case in load("signaling", "nostr_events")["events"] if "synthesised" in case["name"]
    )
    hub = new_hub()
    reader, owner = reader_of(hub), connected(hub)
    publish(hub, owner, announce(device))
    heard(reader)
    assert hub.activity.rooms == 1
    hub.disconnect(owner, 10.0)
    assert hub.activity.rooms == 0
    assert hub.next_timer() == 16.0
    assert gone(hub, reader, 15.9) == []
    (frame,) = gone(hub, reader, 16.0)
    made = decode_event(dumps(frame[2]))
    assert is_genuine(made)
    assert made.content == reference["content"]
    assert made.tags == (("r", "room1"), ("p", "room1"))
    assert made.pubkey == reference["pubkey"]
    assert hub.next_timer() is None
    # A joiner does not see the ghost, not even during the delay.
    assert say(hub, reader, "REQ", "again", ROOM1, now=16.0) == [["EOSE", "again"]]


def test_a_device_that_is_back_in_time_has_not_left() -> None:
    hub = new_hub()
    reader, owner = reader_of(hub), connected(hub)
    publish(hub, owner, announce("dev"))
    hub.disconnect(owner, 10.0)
    back = connected(hub, now=12.0)
    publish(hub, back, announce("dev"), now=12.0)
    heard(reader)
    assert gone(hub, reader, 30.0) == []
    hub.disconnect(back, 40.0)
    assert len(gone(hub, reader, 46.0)) == 1


def test_a_foreign_announcer_cannot_make_a_device_leave() -> None:
    hub = new_hub()
    reader, owner, thief = reader_of(hub), connected(hub), connected(hub, "203.0.113.9")
    publish(hub, owner, announce("dev"))
    publish(hub, thief, announce("dev", key=OTHER_KEY))
    publish(hub, thief, leave("dev", key=OTHER_KEY))
    hub.disconnect(thief, 1.0)
    heard(reader)
    assert gone(hub, reader, 60.0) == []
    assert hub.activity.rooms == 1


def test_own_leave_then_the_socket_closes_is_told_once() -> None:
    hub = new_hub()
    reader, owner = reader_of(hub), connected(hub)
    publish(hub, owner, announce("dev"))
    heard(reader)
    publish(hub, owner, leave("dev"))
    assert [frame[2]["kind"] for frame in heard(reader)] == [21077]
    assert say(hub, reader, "REQ", "again", ROOM1) == [["EOSE", "again"]]
    hub.disconnect(owner, 1.0)
    assert gone(hub, reader, 60.0) == []


@pytest.mark.parametrize("how", ["another key", "another connection"])
def test_a_leave_of_somebody_else_changes_no_presence(how: str) -> None:
    hub = new_hub()
    owner, other = connected(hub), connected(hub, "203.0.113.9")
    publish(hub, owner, announce("dev"))
    if how == "another key":
        publish(hub, owner, leave("dev", key=OTHER_KEY))
    else:
        publish(hub, other, leave("dev"))
    assert hub.activity.rooms == 1


def test_presence_per_connection_is_bounded() -> None:
    hub = new_hub(max_event_rate=0)
    owner = connected(hub)
    for number in range(PAIRS_PER_CONNECTION + 50):
        publish(hub, owner, announce("dev", room=f"room{number}"))
    assert hub.activity.rooms == PAIRS_PER_CONNECTION


# ── addresses ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("case", VECTORS["client_ip"], ids=lambda case: case["x_forwarded_for"])
def test_client_address(case: dict[str, str]) -> None:
    assert client_address(case["tcp_peer"], [case["x_forwarded_for"]]) == case["ip"]


def test_the_last_header_line_counts_first() -> None:
    assert client_address("127.0.0.1", ["192.0.2.1", "192.0.2.2, x"]) == "192.0.2.2"
    assert client_address("127.0.0.1", []) == "127.0.0.1"
    assert client_address("not an address", ["192.0.2.1"]) == "not an address"


# ── whatever clients do ───────────────────────────────────────────────────────────────────────────────────────────────

MESSAGES = st.one_of(
    st.text(max_size=30),
    st.sampled_from(
        [
            '["REQ","a",{"#r":["room1"]}]',
            '["REQ","b",{"ids":["x"]}]',
            '["REQ","a",{"#r":["room2"],"kinds":[1077]}]',
            '["REQ","c"]',
            '["CLOSE","a"]',
            '["CLOSE","b"]',
            f'["EVENT",{announce("dev").json()}]',
            f'["EVENT",{announce("dev", room="room2", key=OTHER_KEY).json()}]',
            f'["EVENT",{leave("dev").json()}]',
            f'["EVENT",{event("x", kind=1).json()}]',
            '["EVENT",{"id":5}]',
            "connect",
            "disconnect",
            "wait",
        ]
    ),
)


@settings(max_examples=examples(150))
@given(st.lists(st.tuples(st.integers(0, 2), MESSAGES), max_size=60))
def test_any_clients_leave_a_hub_that_forgets_them(steps: list[tuple[int, str]]) -> None:
    hub, now = new_hub(), 0.0
    clients: dict[int, Client] = {}
    for who, message in steps:
        client = clients.get(who)
        if message == "disconnect":
            if client is not None:
                hub.disconnect(clients.pop(who), now)
        elif message == "wait":
            now += 4
            hub.handle_timer(now, WALL_S)
        else:
            if client is None:
                client = clients[who] = connected(hub, str(who), now)
            hub.receive(client, message.encode(), now)
            heard(client)
    for client in clients.values():
        hub.disconnect(client, now)
    hub.handle_timer(now + 10, WALL_S)
    assert hub.activity.connections == 0
    assert hub.activity.rooms == 0
    assert hub.next_timer() is None
    nobody = connected(hub, "x", now)
    assert say(hub, nobody, "REQ", "s", {"#r": ["room1", "room2"], "kinds": [1077]}, now=now) == [["EOSE", "s"]]
