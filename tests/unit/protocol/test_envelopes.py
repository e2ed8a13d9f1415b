"""Envelopes of frames that travel over forwarders (vectors: peer-protocol.json `routing`)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw, json

from myownmesh.protocol.codec import encode_frame
from myownmesh.protocol.envelopes import RELAY_CHANNEL, Routed, read_routed, wrapped
from support.vectors import load

ROUTING: dict[str, Any] = load("peer-protocol", "routing")


@pytest.mark.parametrize("case", ROUTING["wrapper_parse"], ids=lambda case: str(case["payload"]))
def test_wrappers(case: dict[str, Any]) -> None:
    routed = read_routed(Raw(json.encode({"dst": "d", "src": "s", "payload": case["payload"]})))
    if case["result"] is None:
        assert routed is None
        return
    assert routed is not None
    assert (routed.dst, routed.src) == ("d", "s")
    assert {"channel": routed.channel, "body": json.decode(routed.body), "ttl": routed.ttl, "id": routed.id} == case[
        "result"
    ]


def test_the_members_of_an_envelope_may_be_absent() -> None:
    assert ROUTING["relay_channel"] == RELAY_CHANNEL
    assert ROUTING["envelope_defaults"]["json"] == {"payload": {"hi": 1}}
    routed = read_routed(Raw(b'{"payload":{"__channel":"c"}}'))
    assert routed == Routed("", "", "c", Raw(b"null"), 0, 0)


@pytest.mark.parametrize("kind", ["directed", "broadcast"])
def test_an_envelope_is_written_as_the_reference_writes_it(kind: str) -> None:
    example = ROUTING[f"example_frame_{kind}"]
    inner = example["payload"]["payload"]
    routed = Routed(
        example["payload"]["dst"],
        example["payload"]["src"],
        inner["__channel"],
        Raw(json.encode(inner["__body"])),
        inner["__ttl"],
        inner["__id"],
    )
    assert json.decode(encode_frame(wrapped(routed))) == example
    assert read_routed(wrapped(routed).payload) == routed


@pytest.mark.parametrize(
    "payload",
    [
        b"null",
        b"[]",
        b'"x"',
        b"{}",
        b'{"payload":null}',
        b'{"payload":[]}',
        b'{"dst":null,"payload":{"__channel":"c"}}',
        b'{"src":5,"payload":{"__channel":"c"}}',
        b'{"payload":{"__channel":null}}',
        b'{"payload":{"__channel":"__mesh_relay__/v1","__body":{}}}',
    ],
)
def test_what_is_no_envelope_is_left_to_subscribers(payload: bytes) -> None:
    assert read_routed(Raw(payload)) is None


@pytest.mark.parametrize(
    ("ttl", "expected"),
    [
        ("0", 0),
        ("255", 255),
        ("256", 0),
        ("18446744073709551615", 255),
        ("18446744073709551616", 0),
        ("-1", 0),
        ("1.5", 0),
        ('"3"', 0),
        ("null", 0),
        ("true", 0),
        ("[]", 0),
    ],
)
def test_numbers_that_are_none_read_as_absent(ttl: str, expected: int) -> None:
    routed = read_routed(Raw(f'{{"payload":{{"__channel":"c","__ttl":{ttl}}}}}'.encode()))
    assert routed is not None
    assert routed.ttl == expected


@given(st.binary(max_size=60) | st.text('{}[]":,__channeldst0123null', max_size=60).map(str.encode))
def test_nothing_raises(payload: bytes) -> None:
    read_routed(Raw(payload))
