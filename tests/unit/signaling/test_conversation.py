"""What is said on a relay socket, with literal times and no socket."""

from __future__ import annotations

import json
import random
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from myownmesh.protocol import base32
from myownmesh.protocol.clock import Instant
from myownmesh.protocol.signals import (
    Announce,
    Candidate,
    Leave,
    OfferReceived,
    PeerAnnounced,
    SendAnswer,
    SendCandidate,
    SendOffer,
)
from myownmesh.protocol.strict_json import compact_json
from myownmesh.signaling.nostr import NostrKey
from myownmesh.signaling.nostrroom import NostrRoom
from myownmesh.signaling.receive import Dropped
from support.examples import examples

if TYPE_CHECKING:
    from myownmesh.protocol.signals import (
        InboundSignal,
    )
    from myownmesh.signaling.conversation import Conversation

WALL_S = 1_700_000_000
ME, PEER, OTHER = (base32.encode(random.Random(n).randbytes(32)) for n in range(3))
PEER_KEY = NostrKey(b"\x05" * 32)
EOSE = '["EOSE","mom-sig-1"]'


def at(seconds: float) -> Instant:
    return Instant(seconds, int((WALL_S + seconds) * 1000))


def new_room(*, listen_only: bool = False) -> NostrRoom:
    return NostrRoom(
        device_id=ME, network_id="office-mesh", app_id="app", listen_only=listen_only, rng=random.Random(5), now=at(0)
    )


def said(link: Conversation, seconds: float) -> list[str]:
    """What the link puts out, in short: REQ and CLOSE by subscription, events by their envelope's kind."""
    link.handle_timer(at(seconds))
    return [in_short(text) for text in link.take_output(at(seconds))]


def in_short(text: str) -> str:
    verb, first, *_ = json.loads(text)
    return f"{verb} {first}" if isinstance(first, str) else str(json.loads(first["content"])["kind"])


def events(link: Conversation, seconds: float) -> list[dict[str, Any]]:
    return [json.loads(text)[1] for text in link.take_output(at(seconds)) if text.startswith('["EVENT"')]


def from_peer(kind: str, room: NostrRoom, *, peer: str = PEER, seconds: float = 0, **members: object) -> str:
    """An EVENT frame with a genuine event of another device."""
    content = {"from": peer, "kind": kind, "peer_id": peer, **members}
    event = PEER_KEY.sign(
        created_at=int(WALL_S + seconds),
        kind=1077 if kind == "announce" else 21077,
        tags=(("r", room.handle),),
        content=compact_json(content),
    )
    return f'["EVENT","mom-sig-1",{event.json()}]'


def opened(room: NostrRoom, seconds: float = 0, relay: str = "ws://relay") -> Conversation:
    """A link that has said its opening words and was admitted."""
    link = room.open_link(relay, at(seconds))
    said(link, seconds)
    link.receive(EOSE, at(seconds))
    return link


SUBSCRIBED = ["REQ mom-sig-1", "REQ mom-sig-2", "REQ mom-sig-3"]


def test_a_link_subscribes_first_and_then_announces() -> None:
    link = new_room().open_link("ws://relay", at(0))
    assert said(link, 0) == [*SUBSCRIBED, "announce"]
    assert said(link, 0) == []


def test_the_presence_window_covers_the_longest_gap_between_announces() -> None:
    link = new_room().open_link("ws://relay", at(0))
    request = json.loads(link.take_output(at(0))[0])
    assert request[2]["since"] == WALL_S - 300


def test_a_listener_subscribes_and_stays_silent() -> None:
    room = new_room(listen_only=True)
    link = room.open_link("ws://relay", at(0))
    assert said(link, 0) == SUBSCRIBED
    room.publish(Announce(), at(1))
    assert room.next_tick() is None
    room.publish(SendOffer(PEER, "v=0"), at(1))
    assert said(link, 1) == ["offer"]
    room.publish(Leave(), at(2))
    room.publish(SendOffer(PEER, "v=1"), at(2))
    assert said(link, 2) == []


@pytest.mark.parametrize(
    "frame",
    [EOSE, '["EOSE","whatever"]', '["OK","00",true,""]', '["EVENT","s",{}]'],
    ids=["EOSE", "EOSE of another subscription", "OK", "EVENT"],
)
def test_what_admits_a_link(frame: str) -> None:
    link = new_room().open_link("ws://relay", at(0))
    assert link.admitted_at is None
    link.receive(frame, at(1))
    assert link.admitted_at == 1
    assert not link.is_stable(10.9)
    assert link.is_stable(11)


def test_a_relay_without_eose_counts_as_up_after_five_seconds() -> None:
    link = new_room().open_link("ws://relay", at(0))
    said(link, 0)
    assert link.next_timer(0) == 5
    said(link, 4.9)
    assert link.admitted_at is None
    said(link, 5)
    assert link.admitted_at == 5


@pytest.mark.parametrize("frame", ['["NOTICE","hello"]', '["OK","00",false,"x"]', "nonsense", '["AUTH","c"]'])
def test_what_does_not_admit_a_link(frame: str) -> None:
    link = new_room().open_link("ws://relay", at(0))
    link.receive(frame, at(1))
    assert link.admitted_at is None
    assert link.ended is None


def test_a_relay_that_has_too_many_connections_ends_the_link() -> None:
    link = new_room().open_link("ws://relay", at(0))
    link.receive('["NOTICE","too many connections from your address"]', at(0))
    assert link.ended is not None
    said(link, 6)
    assert link.admitted_at is None


def test_what_was_said_while_no_link_was_up_follows_the_announce_while_it_is_fresh() -> None:
    room = new_room()
    room.publish(SendOffer(PEER, "old"), at(0))
    room.publish(Announce(), at(0))
    room.publish(SendOffer(PEER, "v=0"), at(9))
    room.publish(SendCandidate(PEER, Candidate("c")), at(9))
    link = room.open_link("ws://relay", at(11))
    assert said(link, 11) == [*SUBSCRIBED, "announce"]
    link.receive(EOSE, at(11))
    assert said(link, 11) == ["offer", "candidate"]


def test_what_no_relay_confirmed_is_said_again_on_the_next_link() -> None:
    room = new_room()
    first = opened(room)
    room.publish(SendOffer(PEER, "one"), at(1))
    room.publish(SendOffer(PEER, "two"), at(1))
    ids = [event["id"] for event in events(first, 1)]
    first.receive(compact_json(["OK", ids[0], True, ""]), at(1))
    room.close_link(first)
    second = opened(room, 2)
    assert [event["id"] for event in events(second, 2)] == ids[1:]


def test_every_open_link_says_the_same_event_once() -> None:
    room = new_room()
    links = [opened(room, relay="ws://one"), opened(room, relay="ws://two")]
    room.publish(SendOffer(PEER, "v=0"), at(1))
    first, second = (events(link, 1) for link in links)
    assert first == second
    assert len(first) == 1


def test_an_unadmitted_link_speaks_at_once_and_does_not_repeat_itself_when_admitted() -> None:
    room = new_room()
    link = room.open_link("ws://relay", at(0))
    said(link, 0)
    room.publish(SendOffer(PEER, "v=0"), at(0.1))
    assert said(link, 0.1) == ["offer"]
    room.publish(SendCandidate(PEER, Candidate("c")), at(0.2))
    link.receive(EOSE, at(0.2))
    assert said(link, 0.2) == ["candidate"]


def test_nothing_goes_out_after_a_leave() -> None:
    room = new_room()
    link = opened(room)
    for number in range(100):
        room.publish(SendCandidate(PEER, Candidate(str(number))), at(1))
    room.publish(Leave(), at(1))
    for signal in (
        Announce(),
        SendOffer(PEER, "v"),
        SendAnswer(PEER, "v"),
        SendCandidate(PEER, Candidate("c")),
        Leave(),
    ):
        room.publish(signal, at(1))
    room.handle_tick(at(40))
    assert said(link, 1) == ["leave"]
    assert said(link, 60) == []
    assert room.leaving


def test_a_leave_reaches_a_relay_that_comes_back_in_time_without_an_announce() -> None:
    room = new_room()
    room.publish(Leave(), at(0))
    link = room.open_link("ws://relay", at(1))
    assert said(link, 1) == SUBSCRIBED
    link.receive(EOSE, at(1))
    assert said(link, 1) == ["leave"]


def test_the_ticker_announces_after_thirty_seconds_and_then_every_two_minutes() -> None:
    room = new_room()
    link = opened(room)
    times: list[float] = []
    for _ in range(4):
        due = room.next_tick()
        assert due is not None
        room.handle_tick(at(due - 0.01))
        room.handle_tick(at(due))
        assert said(link, due) == ["announce"]
        times.append(due)
    assert times[0] == 30
    assert all(102 <= later - earlier <= 138 for earlier, later in pairwise(times))


def test_offers_and_answers_go_out_with_their_names() -> None:
    room = new_room()
    link = opened(room)
    offer = from_peer("offer", room, to=ME, offer_id="theirs", sdp="v=0")
    assert link.receive(offer, at(1)) == OfferReceived(PEER, "v=0", "theirs")
    room.publish(SendAnswer(PEER, "answer", "theirs"), at(1))
    room.publish(SendOffer(PEER, "1", "ours"), at(1))
    ids = [json.loads(event["content"])["offer_id"] for event in events(link, 1)]
    assert ids == ["theirs", "ours"]


def test_the_catch_all_is_closed_when_all_peers_tag_and_opened_when_one_does_not() -> None:
    room = new_room()
    links = [opened(room, relay="ws://one"), opened(room, relay="ws://two")]
    announced = room.receive(links[0], from_peer("announce", room, caps=["ptag"]), at(1))
    assert announced == PeerAnnounced(PEER)
    assert [said(link, 1) for link in links] == [["CLOSE mom-sig-3"]] * 2
    room.receive(links[1], from_peer("announce", room, peer=OTHER, caps=[]), at(2))
    assert [said(link, 2) for link in links] == [["REQ mom-sig-3"]] * 2
    # Opened at once, closed again at a pace that no peer decides.
    woken: list[None] = []
    links[0].on_output = lambda: woken.append(None)
    room.receive(links[1], from_peer("leave", room, peer=OTHER), at(3))
    assert [said(link, 3) for link in links] == [[]] * 2
    assert links[0].next_timer(3) == 11
    assert woken
    assert [said(link, 11) for link in links] == [["CLOSE mom-sig-3"]] * 2


def test_a_relay_that_takes_p_for_a_key_gets_events_without_it() -> None:
    room = new_room()
    link = opened(room)
    room.receive(link, from_peer("announce", room, caps=["ptag"]), at(1))
    room.publish(SendOffer(PEER, "v=0"), at(1))
    tagged = events(link, 1)[0]
    link.receive(compact_json(["OK", tagged["id"], False, "invalid: unexpected size for fixed-size tag"]), at(1))
    texts = link.take_output(at(1))
    assert [in_short(text) for text in texts] == ["REQ mom-sig-3", "offer"]
    untagged = json.loads(texts[1])[1]
    assert untagged["tags"] == [["r", room.handle]]
    assert untagged["content"] == tagged["content"]
    # A second refusal is final: no loop.
    link.receive(compact_json(["OK", untagged["id"], False, "invalid: tag"]), at(1))
    assert said(link, 2) == []
    again = room.open_link("ws://relay", at(3))
    assert said(again, 3)[:2] == ["REQ mom-sig-1", "REQ mom-sig-3"]
    elsewhere = room.open_link("ws://other", at(3))
    assert said(elsewhere, 3)[:3] == SUBSCRIBED


def test_a_refused_tagged_subscription_keeps_the_catch_all_open() -> None:
    room = new_room()
    link = opened(room)
    link.receive('["CLOSED","mom-sig-2","ERROR: bad req: unexpected size for fixed-size tag"]', at(0))
    room.receive(link, from_peer("announce", room, caps=["ptag"]), at(1))
    assert said(link, 1) == []
    assert link.ended is None


def test_a_closed_subscription_is_asked_for_again_first_without_its_limit() -> None:
    room = new_room()
    link = opened(room)
    link.receive('["CLOSED","mom-sig-3","unsupported: limit"]', at(0))
    texts = link.take_output(at(0))
    assert [in_short(text) for text in texts] == ["REQ mom-sig-3"]
    assert "limit" not in json.loads(texts[0])[2]
    link.receive('["CLOSED","mom-sig-3","error: busy"]', at(0))
    assert said(link, 1.9) == []
    assert said(link, 2) == ["REQ mom-sig-3"]
    link.receive('["CLOSED","mom-sig-3","error: busy"]', at(2))
    assert said(link, 5.9) == []
    assert said(link, 6) == ["REQ mom-sig-3"]
    link.receive('["CLOSED","mom-sig-3","error: busy"]', at(6))
    assert link.ended is not None
    assert "busy" in link.ended


@pytest.mark.parametrize("sub", ["mom-sig-9", 5, None, ["mom-sig-1"]])
def test_a_closed_of_somebody_else_s_subscription_changes_nothing(sub: object) -> None:
    link = opened(new_room())
    link.receive(compact_json(["CLOSED", sub, "x"]), at(0))
    assert said(link, 9) == []
    assert link.ended is None


def test_an_event_refused_for_its_rate_is_sent_again_after_a_pause_that_grows() -> None:
    room = new_room()
    link = opened(room)
    room.publish(SendOffer(PEER, "v=0"), at(0))
    offer = events(link, 0)[0]
    refused = compact_json(["OK", offer["id"], False, "rate-limited: slow down"])
    link.receive(refused, at(0))
    assert said(link, 0.9) == []
    assert said(link, 1) == ["offer"]
    link.receive(refused, at(1))
    assert said(link, 2.9) == []
    assert said(link, 3) == ["offer"]
    link.receive(refused, at(3))
    assert said(link, 7) == ["offer"]
    link.receive(refused, at(7))
    # By now it is too old to be worth anything.
    assert said(link, 15) == []


def test_a_refused_announce_is_not_repeated_at_once() -> None:
    link = new_room().open_link("ws://relay", at(0))
    announce = events(link, 0)[0]
    link.receive(compact_json(["OK", announce["id"], False, "rate-limited: no"]), at(0))
    assert said(link, 4) == []


def test_leftovers_are_told_from_news_by_the_end_of_the_replay() -> None:
    room = new_room()
    link = room.open_link("ws://relay", at(100))
    old = from_peer("offer", room, seconds=30, to=ME, offer_id="", sdp="old")
    assert link.receive(old, at(100)) is None
    assert link.dropped == {Dropped.STALE: 1}
    link.receive('["EOSE","mom-sig-1"]', at(100))
    stored = from_peer("offer", room, seconds=29, to=ME, offer_id="", sdp="stored for the second subscription")
    assert link.receive(stored, at(100)) is None
    for sub in ("mom-sig-2", "mom-sig-3"):
        link.receive(f'["EOSE","{sub}"]', at(100))
    slow_clock = from_peer("offer", room, seconds=31, to=ME, offer_id="", sdp="slow clock")
    assert link.receive(slow_clock, at(100)) == OfferReceived(PEER, "slow clock")
    without_eose = room.open_link("ws://other", at(100))
    late = from_peer("offer", room, seconds=32, to=ME, offer_id="", sdp="late")
    assert without_eose.receive(late, at(105)) == OfferReceived(PEER, "late")


@pytest.mark.heavy
def test_a_flood_is_read_at_a_bounded_rate_and_lies_cost_more() -> None:
    room = new_room()
    honest, flooding, lying = (room.open_link(name, at(0)) for name in ("ws://a", "ws://b", "ws://c"))
    for _ in range(500):
        honest.receive('["NOTICE","x"]', at(0))
        lying.receive('["EVENT","s",{"id":"forged"}]', at(0))
    for _ in range(5000):
        flooding.receive('["NOTICE","x"]', at(0))
    assert honest.read_again_at(0) == 0
    assert 7 < flooding.read_again_at(0) < 8
    assert lying.read_again_at(0) > 15
    big = room.open_link("ws://d", at(0))
    for _ in range(20):
        big.receive(compact_json(["NOTICE", "x" * 900_000]), at(0))
    assert big.read_again_at(0) > 5


def waits_for(link: Conversation, seconds: float) -> tuple[float | None, list[str]]:
    """The next timer, and what would go out at once."""
    return link.next_timer(seconds), said(link, seconds)


@pytest.mark.parametrize(
    "what",
    [
        "publish",
        "admitted",
        "refused for its rate",
        "refused for its tag",
        "closed",
        "closed for its limit",
        "narrowed",
    ],
)
def test_the_trio_side_is_told_when_there_is_something_to_send_or_another_timer(what: str) -> None:
    room = new_room()
    if what == "admitted":
        room.publish(SendOffer(PEER, "before"), at(0))
    link = room.open_link("ws://relay", at(0))
    if what != "admitted":
        link.receive(EOSE, at(0))
        room.publish(SendOffer(PEER, "v=0"), at(0))
    sent = events(link, 0)
    calls: list[None] = []
    link.on_output = lambda: calls.append(None)
    match what:
        case "publish":
            room.publish(SendOffer(PEER, "v=1"), at(1))
        case "admitted":
            link.receive(EOSE, at(1))
        case "refused for its rate":
            link.receive(compact_json(["OK", sent[-1]["id"], False, "rate-limited: x"]), at(1))
        case "refused for its tag":
            link.receive(compact_json(["OK", sent[-1]["id"], False, "invalid: tag"]), at(1))
        case "closed":
            link.receive('["CLOSED","mom-sig-1","error: x"]', at(1))
        case "closed for its limit":
            link.receive('["CLOSED","mom-sig-2","error: x"]', at(1))
        case _:
            room.receive(link, from_peer("announce", room, caps=["ptag"]), at(1))
    timer, texts = waits_for(link, 1)
    assert timer is not None or texts
    assert calls


FRAMES = st.sampled_from(
    [
        EOSE,
        '["CLOSED","mom-sig-1","error: x"]',
        '["CLOSED","mom-sig-2","ERROR: bad req: x"]',
        '["CLOSED","mom-sig-2","error: x"]',
        '["CLOSED","mom-sig-3","error: x"]',
        '["NOTICE","too many connections"]',
        '["EVENT","s",{}]',
        "announce",
        "legacy",
        "leave",
        "offer",
        "refuse",
        "limit",
        "confirm",
        "publish",
        "tick",
    ]
)


@settings(max_examples=examples(200))
@given(st.lists(st.tuples(FRAMES, st.floats(0, 6)), max_size=40))
def test_any_relay_behaviour_leaves_a_conversation_that_rests(steps: list[tuple[str, float]]) -> None:
    """Whatever a relay does, what we send stays bounded and no timer is due again at the same moment."""
    room, now = new_room(), 0.0
    link, last, sent = room.open_link("ws://relay", at(0)), "00", 0
    for number, (frame, gap) in enumerate(steps):
        now += gap
        frames = {
            "announce": from_peer("announce", room, seconds=number, caps=["ptag"]),
            "legacy": from_peer("announce", room, seconds=number, peer=OTHER),
            "leave": from_peer("leave", room, seconds=number, peer=OTHER),
            "offer": from_peer("offer", room, seconds=number, to=ME, offer_id="", sdp=str(number)),
            "refuse": compact_json(["OK", last, False, "invalid: tag"]),
            "limit": compact_json(["OK", last, False, "rate-limited: x"]),
            "confirm": compact_json(["OK", last, True, ""]),
        }
        if frame == "publish":
            room.publish(SendOffer(PEER, str(number)), at(now))
        elif frame == "tick":
            room.handle_tick(at(now))
        else:
            outcome: InboundSignal | None = link.receive(frames.get(frame, frame), at(now))
            assert outcome is None or frame in frames
        link.handle_timer(at(now))
        texts = link.take_output(at(now))
        sent += len(texts)
        for text in texts:
            if text.startswith('["EVENT"'):
                last = json.loads(text)[1]["id"]
        timer = link.next_timer(now)
        assert timer is None or timer > now or link.ended
    assert sent <= 4 + 3 * len(steps) + 3


# ── the time of others ────────────────────────────────────────────────────────────────────────────────────────────────


def filters_of_presence(link: Conversation, seconds: float) -> list[dict[str, Any]]:
    texts = [json.loads(text) for text in link.take_output(at(seconds))]
    (found,) = (text[2:] for text in texts if text[:2] == ["REQ", "mom-sig-1"])
    return found


def test_a_relay_that_refuses_two_filters_is_asked_with_one() -> None:
    room = new_room()
    link = room.open_link("wss://a", at(0))
    stored, live = filters_of_presence(link, 0)
    assert (stored["since"], "since" in live, live["limit"]) == (WALL_S - 300, False, 0)
    link.receive('["CLOSED","mom-sig-1","error: bad filter: limit must be positive"]', at(0))
    assert filters_of_presence(link, 0) == [stored]
    assert link.ended is None


def test_a_live_announce_is_not_judged_by_its_time_and_a_replayed_one_is() -> None:
    room = new_room()
    link = room.open_link("wss://a", at(0))
    assert link.receive(from_peer("announce", room, seconds=-301), at(0)) is None
    assert link.dropped == {Dropped.STALE: 1}
    for sub in (1, 2, 3):
        link.receive(f'["EOSE","mom-sig-{sub}"]', at(1))
    assert isinstance(link.receive(from_peer("announce", room, seconds=-900), at(1)), PeerAnnounced)


def test_an_announce_with_a_wrong_time_is_followed_by_one_with_the_right_one_but_at_no_stranger_s_pace() -> None:
    room = new_room()
    link = room.open_link("wss://a", at(0))
    assert [event["created_at"] for event in events(link, 0)] == [WALL_S]

    def corrected(seconds: float, by_s: int) -> Instant:
        return Instant(seconds, at(seconds).wall_ms + by_s * 1000)

    stamps = []
    for seconds, by_s in ((1, 0), (2, 600), (3, 600), (4, -600), (13, -600)):
        room.receive(link, EOSE, corrected(seconds, by_s))
        stamps += [event["created_at"] - WALL_S for event in events(link, seconds)]
    assert stamps == [602, -587]
