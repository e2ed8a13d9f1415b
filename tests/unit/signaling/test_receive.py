"""From a relay's event to a signal: every case that decides what is delivered."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from myownmesh.protocol import base32
from myownmesh.protocol.clock import Instant
from myownmesh.protocol.signals import (
    AnswerReceived,
    Candidate,
    CandidateReceived,
    EchoHeard,
    OfferReceived,
    PeerAnnounced,
    PeerLeft,
)
from myownmesh.protocol.strict_json import compact_json, dumps, proven
from myownmesh.signaling import nostr
from myownmesh.signaling.gate import RING_CAPACITY, ContentGate, Ring
from myownmesh.signaling.nostr import NostrKey
from myownmesh.signaling.outbound import Echoes
from myownmesh.signaling.receive import LIES, Announcers, Dropped, PeerTags, Receiver
from myownmesh.signaling.relayframes import EventFrame, decode_relay_frame
from myownmesh.signaling.twins import Twins
from support.vectors import load

if TYPE_CHECKING:
    from msgspec import Raw

    from myownmesh.protocol.signals import (
        InboundSignal,
    )

DECISIONS = load("signaling", "inbound_decisions")
ABOUT = load("signaling", "about")["fixed_inputs"]
A, ROOM = ABOUT["device_A"]["device_id"], ABOUT["room"]
ME = DECISIONS["receiver"]["device_id"]
STRANGER = NostrKey(b"\x09" * 32)


NOW = Instant(1000.0, 1_800_000_000_000)


class Judge:
    """A receiver at one moment; what it hears in its own name is of an earlier run."""

    def __init__(self, own: NostrKey | None = None) -> None:
        given = DECISIONS["receiver"]
        pubkey = given["nostr_pubkey"] if own is None else own.pubkey
        who = {"device_id": given["device_id"], "room": given["room"], "pubkey": pubkey}
        self.echoes = Echoes()
        self._receiver = Receiver(**who, echoes=self.echoes, twins=Twins(**who, sign=None, began=NOW))
        self.tags = self._receiver.tags

    def receive(self, value: Raw, replay_began_s: int | None = None) -> InboundSignal | Dropped:
        return self._receiver.receive(value, NOW, replay_began_s=replay_began_s)


def receiver() -> Judge:
    return Judge()


def event(content: object, *, kind: int = 21077, created_at: int = 1_700_000_000, key: NostrKey = STRANGER) -> Raw:
    """A genuine event of a stranger with this envelope."""
    signed = key.sign(created_at=created_at, kind=kind, tags=(("r", ROOM), ("p", ME)), content=compact_json(content))
    return proven(signed.json().encode())


def offer(sdp: object = "v=0", **replaced: object) -> dict[str, object]:
    return {"from": A, "to": ME, "kind": "offer", "peer_id": A, "offer_id": "o", "sdp": sdp, **replaced}


def described(outcome: InboundSignal | Dropped) -> dict[str, object]:
    match outcome:
        case PeerAnnounced(peer):
            return {"deliver": "peer_announced", "device_id": peer}
        case PeerLeft(peer):
            return {"deliver": "peer_left", "device_id": peer}
        case OfferReceived(peer):
            return {"deliver": "message", "from": peer, "kind": "offer"}
        case AnswerReceived(peer):
            return {"deliver": "message", "from": peer, "kind": "answer"}
        case CandidateReceived(peer):
            return {"deliver": "message", "from": peer, "kind": "candidate"}
        case _:
            return {"deliver": None}


@pytest.mark.parametrize("case", DECISIONS["cases"], ids=lambda case: case["name"])
def test_inbound_decisions(case: dict[str, Any]) -> None:
    frame = decode_relay_frame(compact_json(case["frame"]))
    assert isinstance(frame, EventFrame)
    judge = receiver()
    expected = case["expect"]
    tags = expected.pop("peer_tags", None)
    if case["name"].startswith("offer without 'to'"):
        # Failed on purpose (spec 10 §4): ours requires `to`, as every reference sender writes it.
        expected = {"deliver": None}
    assert described(judge.receive(frame.event)) == expected
    if tags is not None:
        assert judge.tags.needs_catch_all is not tags


@pytest.mark.parametrize("case", load("signaling", "announce_acceptance")["cases"], ids=lambda case: case["name"])
def test_announce_acceptance(case: dict[str, Any]) -> None:
    peer, other = (base32.encode(random.Random(n).randbytes(32)) for n in (1, 2))

    def fill(text: str) -> str:
        return text.replace("PEER", peer).replace("OTHER", other).replace("ME", ME).replace("ROOM", ROOM)

    replaced = dict(case.get("event", {}))
    kind = replaced.pop("kind", 1077)
    tags = tuple(tuple(map(fill, tag)) for tag in replaced.pop("tags", [["r", "ROOM"]]))
    signed = STRANGER.sign(created_at=1_700_000_000, kind=kind, tags=tags, content=fill(case["content"]))
    outcome = receiver().receive(dumps({**json.loads(signed.json()), **replaced}))
    assert (outcome == PeerAnnounced(peer)) is case["ours"]


def test_sequences() -> None:
    cases = {case["name"]: case for case in DECISIONS["sequences"]}
    announce = {"from": A, "kind": "announce", "peer_id": A, "caps": ["ptag"]}
    judge = receiver()
    same = [judge.receive(event(announce, kind=1077)) for _ in range(3)]
    assert same.count(PeerAnnounced(A)) == cases["the same event id from three relays"]["delivered"]
    judge = receiver()
    later = [judge.receive(event(announce, kind=1077, created_at=at)) for at in (1_700_000_000, 1_700_000_005)]
    assert later == [PeerAnnounced(A), PeerAnnounced(A, again=True)]
    ring = Ring()
    for number in range(RING_CAPACITY + 50):
        assert ring.add(str(number))
    assert len(ring) == cases["dedupe ring after 2048+50 inserts"]["length"]
    assert "0" not in ring
    assert not ring.add("2090")


def test_a_forgery_does_not_shadow_the_event_whose_id_it_borrowed() -> None:
    judge = receiver()
    genuine = event(offer())
    members = json.loads(bytes(genuine))
    forged = dumps({**members, "content": compact_json(offer("evil"))})
    assert judge.receive(forged) is Dropped.FORGED
    assert judge.receive(dumps({**members, "sig": "00" * 64})) is Dropped.FORGED
    assert judge.receive(genuine) == OfferReceived(A, "v=0", "o")


@pytest.mark.parametrize(
    ("replaced", "why"),
    [
        ({"to": A}, Dropped.NOT_FOR_US),
        ({"to": None}, Dropped.NOT_FOR_US),
        ({"peer_id": base32.encode(bytes(32))}, Dropped.SENDER_MISMATCH),
        ({"from": ME, "peer_id": ME}, Dropped.OWN_DEVICE),
        ({"from": "é" * 26, "peer_id": "é" * 26}, Dropped.BAD_ENVELOPE),
        ({"sdp": 5}, Dropped.BAD_ENVELOPE),
    ],
)
def test_what_only_a_liar_or_a_stranger_sends(replaced: dict[str, object], why: Dropped) -> None:
    assert receiver().receive(event(offer(**replaced))) is why


@pytest.mark.parametrize(("value", "why"), [(dumps(None), Dropped.MALFORMED), (dumps({"id": 1}), Dropped.MALFORMED)])
def test_no_event(value: object, why: Dropped) -> None:
    assert receiver().receive(value) is why
    assert why in LIES


def test_leftovers_of_an_earlier_run_are_kept_away_only_during_the_replay() -> None:
    began = 1_700_000_100
    stale, recent = event(offer("old"), created_at=began - 61), event(offer("new"), created_at=began - 60)
    judge = receiver()
    assert judge.receive(stale, replay_began_s=began) is Dropped.STALE
    assert judge.receive(recent, replay_began_s=began) == OfferReceived(A, "new", "o")
    # Live events may have any time: a peer with a slow clock must be able to negotiate.
    assert receiver().receive(stale) == OfferReceived(A, "old", "o")
    announce = {"from": A, "kind": "announce", "peer_id": A}
    old = event(announce, kind=1077, created_at=began - 200)
    assert receiver().receive(old, replay_began_s=began) == PeerAnnounced(A)


def test_offers_and_answers_keep_their_names() -> None:
    answer = {"from": A, "to": ME, "kind": "answer", "peer_id": A, "offer_id": "", "sdp": "1"}
    judge = receiver()
    assert judge.receive(event(offer())) == OfferReceived(A, "v=0", "o")
    assert judge.receive(event(answer)) == AnswerReceived(A, "1")
    assert judge.receive(event({**answer, "offer_id": "ours", "sdp": "2"})) == AnswerReceived(A, "2", "ours")


GATE = {case["name"]: case for case in load("signaling", "cross_transport_gate")["cases"]}


@pytest.mark.parametrize(
    ("name", "signals"),
    [
        ("same (type, from, sdp) twice", [OfferReceived("p", "s"), OfferReceived("p", "s")]),
        (
            "offers (peer-a,sdp-1),(peer-a,sdp-2),(peer-b,sdp-1)",
            [OfferReceived("peer-a", "sdp-1"), OfferReceived("peer-a", "sdp-2"), OfferReceived("peer-b", "sdp-1")],
        ),
        ("3 announces + 1 leave of one peer", [PeerAnnounced("p")] * 3 + [PeerLeft("p")]),
        (
            "candidate same text, mid '0','0','1'",
            [CandidateReceived("p", Candidate("c", mid, 0)) for mid in ("0", "0", "1")],
        ),
    ],
)
def test_content_gate(name: str, signals: list[InboundSignal]) -> None:
    gate = ContentGate()
    assert sum(map(gate.passes, signals)) == GATE[name]["delivered"]


def test_the_gate_tells_offers_from_answers_and_forgets_the_oldest() -> None:
    gate = ContentGate()
    assert gate.passes(OfferReceived("p", "s"))
    assert gate.passes(AnswerReceived("p", "s"))
    for number in range(GATE["ring bound"]["capacity"]):
        gate.passes(OfferReceived("p", str(number)))
    assert gate.passes(OfferReceived("p", "s"))


def test_one_content_in_two_events_is_delivered_once() -> None:
    judge = receiver()
    first, second = event(offer()), event(offer(offer_id="another"))
    assert judge.receive(first) == OfferReceived(A, "v=0", "o")
    assert judge.receive(second) is Dropped.REPEATED_CONTENT


@pytest.mark.parametrize("case", load("signaling", "adaptive_subscription")["cases"], ids=lambda case: case["room"])
def test_adaptive_subscription(case: dict[str, Any]) -> None:
    steps: dict[str, list[tuple[str, tuple[str, ...] | None]]] = {
        "empty (nobody announced)": [],
        "one peer with caps ['ptag']": [("a", ("ptag",))],
        "one ptag peer and one peer with caps []": [("a", ("ptag",)), ("b", ())],
        "the caps [] peer left": [("a", ("ptag",)), ("b", ()), ("b", None)],
    }
    tags = PeerTags()
    for peer, caps in steps[case["room"]]:
        if caps is None:
            tags.left(peer)
        else:
            tags.announced(peer, caps)
    assert tags.needs_catch_all is case["needs_catch_all"]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.none() | st.booleans()), max_size=30))
def test_peer_tags_count_right_whatever_happens(steps: list[tuple[str, bool | None]]) -> None:
    tags, model = PeerTags(), dict[str, bool]()
    for peer, tagged in steps:
        if tagged is None:
            tags.left(peer)
            model.pop(peer, None)
        else:
            tags.announced(peer, ("x", "ptag") if tagged else ("x",))
            model[peer] = tagged
    assert tags.needs_catch_all is (not model or not all(model.values()))


def test_a_crowd_of_strangers_does_not_fill_the_memory() -> None:
    tags = PeerTags()
    tags.announced("legacy", ())
    for number in range(5000):
        tags.announced(str(number), ("ptag",))
    assert not tags.needs_catch_all


def test_a_late_leave_of_a_former_process_says_nothing_of_its_successor() -> None:
    judge, keys = receiver(), [NostrKey(bytes([number]) * 32) for number in (5, 6)]
    announce = {"from": A, "kind": "announce", "peer_id": A}
    leave = {"from": A, "kind": "leave", "peer_id": A}
    for key in keys:
        assert judge.receive(event(announce, kind=1077, key=key)) == PeerAnnounced(A)
    assert judge.receive(event(leave, key=keys[0])) is Dropped.STALE
    assert judge.receive(event(leave, key=STRANGER)) == PeerLeft(A), "a relay's own word"
    assert judge.receive(event(announce, kind=1077, key=keys[1], created_at=1_700_000_001)) == PeerAnnounced(A)
    assert judge.receive(event(leave, key=keys[1])) == PeerLeft(A)


def test_former_processes_are_bounded() -> None:
    known = Announcers()
    for number in range(5000):
        known.announced(A, str(number))
    assert known.is_former(A, "4998")
    assert not known.is_former(A, "4999")
    assert not known.is_former(A, "3")


def test_a_process_that_announced_before_is_no_newcomer() -> None:
    """Each start of a driver takes another key, so the key tells a restart from a repeat."""
    judge = receiver()
    announce = {"from": A, "kind": "announce", "peer_id": A, "caps": ["ptag"]}

    def announced(at: int, key: NostrKey) -> object:
        return judge.receive(event(announce, kind=1077, created_at=at, key=key))

    first, second = (NostrKey.generate(random.Random(seed)) for seed in (1, 2))
    assert announced(1, first) == PeerAnnounced(A)
    assert announced(2, first) == PeerAnnounced(A, again=True)
    assert announced(3, second) == PeerAnnounced(A)
    assert announced(4, second) == PeerAnnounced(A, again=True)
    leave = {"from": A, "kind": "leave", "peer_id": A}
    assert judge.receive(event(leave, kind=21077, created_at=5, key=second)) == PeerLeft(A)
    assert announced(6, second) == PeerAnnounced(A)


def test_an_announce_of_ours_that_comes_back_tells_how_late_the_room_is() -> None:
    own = NostrKey(b"\x07" * 32)
    judge = Judge(own)
    raw = event({"from": ME, "kind": "announce", "peer_id": ME, "caps": []}, kind=1077, key=own)
    assert judge.receive(raw) is Dropped.OWN_ECHO
    judge.echoes.sent(nostr.decode_event(raw).id, NOW.mono - 4.5)
    assert judge.receive(raw) == EchoHeard(ME, 4.5)
    assert judge.receive(raw) is Dropped.OWN_ECHO, "another relay's copy"


def test_echoes_that_never_come_are_bounded() -> None:
    echoes = Echoes()
    for number in range(40):
        echoes.sent(str(number), 1.0)
    assert echoes.heard("0", 2.0) is None
    assert echoes.heard("39", 2.0) == 1.0


def test_a_key_that_was_heard_before_is_no_newcomers() -> None:
    """Relays bring what they have stored in any order, so an older announce may come behind a younger one."""
    known = Announcers()
    assert not known.announced(A, "old")
    assert not known.announced(A, "new")
    assert known.announced(A, "old")
    assert known.announced(A, "new")
    assert known.is_former(A, "old")
    assert not known.is_former(A, "new")
