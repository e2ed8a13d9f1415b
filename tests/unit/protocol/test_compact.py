"""The shortest spelling means the same (spec 05 §12, field report 6)."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from myownmesh.protocol.codec import FrameTooLarge, decode_frame, encode_frame
from myownmesh.protocol.compact import compact
from myownmesh.protocol.frames import Channel, RpcRequest
from myownmesh.protocol.limits import MAX_FRAME_BYTES

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@pytest.mark.unwatched
@given(VALUES, st.sampled_from([None, 1, "\t"]))
def test_it_means_the_same_and_is_never_longer(value: object, indent: int | str | None) -> None:
    spelled = json.dumps(value, indent=indent).encode()
    shortest = compact(spelled)
    assert json.loads(shortest) == value
    assert len(shortest) <= len(spelled)
    assert shortest == json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


@pytest.mark.parametrize(
    ("spelled", "shortest"),
    [
        (rb'"\u0416\u0436"', '"Жж"'.encode()),
        (rb'"\ud83d\udc0e"', '"🐎"'.encode()),
        (rb'"\u0041\/\u000a\u0001\u0022\u005c\u007f"', b'"A/\\n\\u0001\\"\\\\\x7f"'),
        (rb'{ "a" : 1.50e+2 , "a" : -0 , "b \" {" : [ ] }', rb'{"a":1.50e+2,"a":-0,"b \" {":[]}'),
        (rb'"\ud800"', rb'"\ud800"'),
        (b"123456789012345678901234567890.10", b"123456789012345678901234567890.10"),
    ],
)
def test_spellings(spelled: bytes, shortest: bytes) -> None:
    assert compact(spelled) == shortest


CYRILLIC = json.dumps("Ж" * 15_000).encode()  # 90 kB of escapes, 30 kB of text


@pytest.mark.parametrize(
    "frame", [RpcRequest("1", "m", Raw(CYRILLIC)), Channel(channel="c", payload=Raw(b"[ " * 1 + CYRILLIC + b" ]"))]
)
def test_a_frame_that_is_too_long_as_it_stands_goes_out_in_its_shortest_spelling(frame: RpcRequest | Channel) -> None:
    data = encode_frame(frame)
    assert len(data) < MAX_FRAME_BYTES
    decoded = decode_frame(data)
    assert isinstance(decoded, type(frame))
    assert json.loads(bytes(decoded.payload)) == json.loads(bytes(frame.payload))


def test_a_frame_that_fits_goes_out_as_it_stands() -> None:
    assert rb"\u0416" in encode_frame(Channel(channel="c", payload=Raw(rb'"\u0416"')))


def test_a_frame_that_is_too_long_in_every_spelling_is_refused_with_its_shortest_length() -> None:
    with pytest.raises(FrameTooLarge, match=r"frame of 70\d\d\d bytes"):
        encode_frame(Channel(channel="c", payload=Raw(json.dumps("Ж" * 35_000).encode())))


@pytest.mark.parametrize("letter", ["Ж", "€", "🐎", '"', "\n", "\x01", "/"])
def test_the_limit_is_the_same_in_every_spelling(letter: str) -> None:
    """To the letter: what fits in its shortest spelling fits, one more does not."""

    def size(count: int, *, escaped: bool) -> int:
        text = json.dumps(letter * count, ensure_ascii=escaped)
        return len(encode_frame(Channel(channel="c", payload=Raw(text.encode()))))

    each = len(json.dumps(letter, ensure_ascii=False).encode()) - 2
    most = (MAX_FRAME_BYTES - size(0, escaped=False)) // each
    assert MAX_FRAME_BYTES - each < size(most, escaped=False) <= MAX_FRAME_BYTES
    assert size(most, escaped=True) <= MAX_FRAME_BYTES
    for escaped in (False, True):
        with pytest.raises(FrameTooLarge):
            size(most + 1, escaped=escaped)
