"""What relays say and what we say to them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from myownmesh.protocol.strict_json import compact_json, dumps
from myownmesh.signaling import relayframes as frames
from myownmesh.signaling.nostr import decode_event
from support.vectors import load

ABOUT = load("signaling", "about")["fixed_inputs"]
ROOM, A = ABOUT["room"], ABOUT["device_A"]["device_id"]
CLIENT_FRAMES = {case["name"]: case["text"] for case in load("signaling", "client_frames")["cases"]}


def classify(frame: frames.RelayFrame) -> str:
    match frame:
        case frames.NoticeFrame() as notice if notice.rejects:
            return "rejected"
        case frames.EoseFrame():
            return "eose"
        case _:
            return "other"


@pytest.mark.parametrize("case", load("signaling", "relay_control_frames")["cases"], ids=lambda case: case["frame"])
def test_control_frames(case: dict[str, str]) -> None:
    assert classify(frames.decode_relay_frame(case["frame"])) == case["class"]


@given(st.text(max_size=100))
def test_any_text_is_a_frame(text: str) -> None:
    frames.decode_relay_frame(text)


@pytest.mark.parametrize(
    ("text", "frame"),
    [
        ('["OK","i",true]', frames.OkFrame("i", True, "")),
        ('["OK","i",false,"no"]', frames.OkFrame("i", False, "no")),
        ('["OK","i",1,"no"]', frames.OtherFrame()),
        ('["OK","i"]', frames.OtherFrame()),
        ('["CLOSED","s","why"]', frames.ClosedFrame("s", "why")),
        ('["CLOSED",5]', frames.ClosedFrame(None, "")),
        ('["EOSE"]', frames.EoseFrame(None)),
        ('["NOTICE"]', frames.OtherFrame()),
        ('["NOTICE",{}]', frames.OtherFrame()),
        ('["EVENT","s"]', frames.OtherFrame()),
        ('["EVENT",null,5]', frames.EventFrame(dumps(5))),
        ("[]", frames.OtherFrame()),
        ("[" * 500, frames.OtherFrame()),
        ('{"EVENT":1}', frames.OtherFrame()),
    ],
)
def test_odd_frames(text: str, frame: frames.RelayFrame) -> None:
    assert frames.decode_relay_frame(text) == frame


def test_published_events_equal_the_reference_s() -> None:
    text = next(text for name, text in CLIENT_FRAMES.items() if name.startswith("EVENT"))
    event = decode_event(dumps(json.loads(text)[1]))
    assert json.loads(frames.encode_event_frame(event)) == json.loads(text)


def test_our_three_subscriptions_cover_what_the_reference_asks_for_in_one() -> None:
    """The texts differ on purpose (spec 10 §4): separate subscriptions, a wider window, nothing stored of 21077."""
    reference = next(text for name, text in CLIENT_FRAMES.items() if name.startswith("REQ while"))
    _, sub, *asked = json.loads(reference)
    since = asked[0]["since"]
    ours = [
        json.loads(text)
        for text in (
            frames.presence_request(ROOM, since - 180, limited=True),
            frames.tagged_request(ROOM, A, limited=True),
            frames.catch_all_request(ROOM, limited=True),
        )
    ]
    assert [text[:2] for text in ours] == [["REQ", sub], ["REQ", "mom-sig-2"], ["REQ", "mom-sig-3"]]
    assert ours[0][2:] == [{**asked[0], "since": since - 180}, {"#r": [ROOM], "kinds": [1077], "limit": 0}]
    assert ours[1][2] == {**asked[1], "limit": 0}
    assert ours[2][2] == {**asked[2], "limit": 0}
    assert json.loads(frames.tagged_request(ROOM, A, limited=False))[2] == asked[1]
    assert json.loads(frames.presence_request(ROOM, since, limited=False))[2:] == asked[:1]


def test_stored_announces_are_asked_for_since_a_time_that_there_is() -> None:
    """A clock that stands at the beginning of 1970 asks for no negative time, which a relay would refuse."""
    assert json.loads(frames.presence_request(ROOM, -200, limited=True))[2]["since"] == 0
    assert json.loads(frames.presence_request(ROOM, None, limited=True))[2:] == [
        {"#r": [ROOM], "kinds": [1077], "limit": 20}
    ]


def test_close() -> None:
    expected: Any = ["CLOSE", "mom-sig-3"]
    assert frames.encode_close(frames.SUB_CATCH_ALL) == compact_json(expected)
