"""The message inside an event."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from myownmesh.protocol import base32
from myownmesh.protocol.ids import display_id
from myownmesh.protocol.strict_json import compact_json, dumps
from myownmesh.signaling.envelope import (
    AnnounceBody,
    AnswerBody,
    BadEnvelope,
    CandidateBody,
    Envelope,
    LeaveBody,
    OfferBody,
    decode_envelope,
    encode_envelope,
)
from support.vectors import load

A = load("signaling", "about")["fixed_inputs"]["device_A"]["device_id"]
B = load("signaling", "about")["fixed_inputs"]["device_B"]["device_id"]
WRITTEN_BY_THE_REFERENCE = [
    case["event"]["content"]
    for case in load("signaling", "nostr_events")["events"]
    if case["event"]["content"].startswith("{") and "v0.1.2" not in case["name"] and "synthesised" not in case["name"]
]
TEXT = st.text(st.characters(codec="utf-8"), max_size=40)
IDS = st.binary(min_size=32, max_size=32).map(base32.encode)
OURS = st.just(UNSET) | st.builds(dumps, st.none() | TEXT | st.integers(0, 9) | st.just({"t": 1, "s": "x"}))
BODIES = st.one_of(
    st.builds(AnnounceBody, st.lists(TEXT, max_size=3).map(tuple), OURS),
    st.builds(LeaveBody, OURS),
    st.builds(OfferBody, TEXT, TEXT, OURS),
    st.builds(AnswerBody, TEXT, TEXT, OURS),
    st.builds(CandidateBody, TEXT, st.none() | TEXT, st.none() | st.integers(0, 65535), st.none() | TEXT, OURS, OURS),
)
OFFER: dict[str, Any] = {"from": A, "to": B, "kind": "offer", "peer_id": A, "offer_id": "x", "sdp": "v=0"}
CANDIDATE: dict[str, Any] = {"from": A, "to": B, "kind": "candidate", "peer_id": A, "candidate": "candidate:1"}


@given(st.builds(Envelope, IDS, st.none() | IDS, IDS, BODIES))
def test_what_is_written_is_read(envelope: Envelope) -> None:
    assert decode_envelope(encode_envelope(envelope)) == envelope


@given(st.text(max_size=200))
def test_any_text_is_an_envelope_or_refused(text: str) -> None:
    with contextlib.suppress(BadEnvelope):
        decode_envelope(text)


@pytest.mark.parametrize("content", WRITTEN_BY_THE_REFERENCE)
def test_members_are_written_in_the_reference_s_order(content: str) -> None:
    assert encode_envelope(decode_envelope(content)) == content


def test_the_leave_of_a_hosted_relay_has_no_recipient_member() -> None:
    assert decode_envelope(compact_json({"from": A, "kind": "leave", "peer_id": A})) == Envelope(
        A, None, A, LeaveBody()
    )


@pytest.mark.parametrize("member", ["from", "kind", "peer_id", "offer_id", "sdp"])
def test_required_members(member: str) -> None:
    with pytest.raises(BadEnvelope, match=member):
        decode_envelope(compact_json({name: value for name, value in OFFER.items() if name != member}))


@pytest.mark.parametrize(
    "replace",
    [
        {"kind": "hello"},
        {"kind": 1},
        {"offer_id": None},
        {"sdp": ["v=0"]},
        {"to": 5},
        {"from": None},
    ],
)
def test_wrong_offers(replace: dict[str, object]) -> None:
    with pytest.raises(BadEnvelope):
        decode_envelope(compact_json({**OFFER, **replace}))


@pytest.mark.parametrize(
    "replace",
    [
        {"candidate": None},
        {"sdp_mid": 0},
        {"sdp_mline_index": 0.0},
        {"sdp_mline_index": -1},
        {"sdp_mline_index": 65536},
        {"sdp_mline_index": True},
        {"sdp_mline_index": "0"},
        {"username_fragment": 1},
    ],
)
def test_wrong_candidates(replace: dict[str, object]) -> None:
    with pytest.raises(BadEnvelope):
        decode_envelope(compact_json({**CANDIDATE, **replace}))


@pytest.mark.parametrize("member", ["from", "to", "peer_id"])
@pytest.mark.parametrize(
    "bad",
    [
        "",
        "a",
        A[:-1],
        A + "a",
        A.upper(),
        A[:-1] + "b",
        "é" * 52,
        A[:51] + "é",
        "а" + A[1:],
        A + "\n",
        A + "-" + "é" * 5,
    ],
)
def test_ids_are_device_ids_wherever_they_stand(member: str, bad: str) -> None:
    with pytest.raises(BadEnvelope):
        decode_envelope(compact_json({**OFFER, member: bad}))


def test_a_display_suffix_is_stripped_once() -> None:
    envelope = decode_envelope(compact_json({**OFFER, "from": display_id(A), "peer_id": A, "to": display_id(B)}))
    assert (envelope.sender, envelope.to) == (A, B)
    with pytest.raises(BadEnvelope):
        decode_envelope(compact_json({**OFFER, "from": display_id(display_id(A))}))


def test_unknown_members_may_even_be_repeated() -> None:
    assert decode_envelope(compact_json(OFFER)[:-1] + ',"x":1,"x":{"from":2}}').sender == A
    with pytest.raises(BadEnvelope, match="duplicate field `caps`"):
        decode_envelope(compact_json(OFFER)[:-1] + ',"caps":[],"caps":[]}')


@pytest.mark.parametrize("content", ["[]", "1", '"x"', "null", "{", "", "[" * 300])
def test_only_objects_are_envelopes(content: str) -> None:
    with pytest.raises(BadEnvelope):
        decode_envelope(content)
