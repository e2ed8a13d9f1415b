"""The member `invite` of a hello: written behind the others, and anything wrong with it is as if it were not there."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from myownmesh.protocol.codec import decode_frame, encode_frame
from myownmesh.protocol.frames import Hello
from myownmesh.protocol.introduction import Introduction, introduced, introduction_in

HELLO = Hello(1, "a" * 52, "them", "nonce", "abc123")
SHOWN = Introduction("0123456789abcdef", "a" * 52)


def with_member(value: object) -> bytes:
    return encode_frame(HELLO)[:-1] + b',"invite":' + json.dumps(value).encode() + b"}"


def test_it_is_read_back_and_the_hello_is_the_same_without_it() -> None:
    text = introduced(encode_frame(HELLO), SHOWN)
    assert decode_frame(text) == HELLO
    assert introduction_in(text) == SHOWN
    assert introduction_in(encode_frame(HELLO)) is None


@pytest.mark.parametrize(
    "value",
    [
        None,
        1,
        "invite",
        [],
        {},
        {"id": SHOWN.id},
        {"id": SHOWN.id, "mac": 1},
        {"id": SHOWN.id.upper(), "mac": SHOWN.mac},
        {"id": SHOWN.id, "mac": SHOWN.mac.upper()},
        {"id": SHOWN.id, "mac": SHOWN.mac + "a"},
        {"id": SHOWN.id, "mac": SHOWN.mac, "more": "x" * 256},
    ],
)
def test_what_is_wrong_is_as_if_it_were_not_there(value: object) -> None:
    text = with_member(value)
    assert decode_frame(text) == HELLO
    assert introduction_in(text) is None


def test_unknown_members_in_it_do_not_matter() -> None:
    assert introduction_in(with_member({"id": SHOWN.id, "mac": SHOWN.mac, "later": [1]})) == SHOWN


def test_twice_is_none() -> None:
    once = with_member({"id": SHOWN.id, "mac": SHOWN.mac})
    twice = once[:-1] + b',"invite":' + json.dumps({"id": SHOWN.id, "mac": SHOWN.mac}).encode() + b"}"
    assert introduction_in(twice) is None


def test_no_proof_is_shown_by_accident() -> None:
    assert SHOWN.mac not in repr(SHOWN)


@pytest.mark.unwatched
@pytest.mark.heavy
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda v: st.lists(v) | st.dictionaries(st.text(), v)
    )
)
def test_reading_is_total(value: object) -> None:
    assert introduction_in(with_member(value)) is None
