"""Lines beyond the vectors: pieces, and what is too much."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from myownmesh.lan.lines import MAX_LINE_BYTES, BadLine, Splitter, decode, encode


@given(st.lists(st.binary(max_size=9).filter(lambda line: b"\n" not in line), max_size=6), st.integers(1, 7))
def test_pieces_of_any_size_make_the_same_lines(lines: list[bytes], size: int) -> None:
    data = b"".join(line + b"\n" for line in lines)
    splitter = Splitter()
    got = [line for at in range(0, len(data), size) for line in splitter.feed(data[at : at + size])]
    assert got == lines
    assert len(splitter) == 0


def test_a_line_without_an_end_is_given_up_at_the_limit() -> None:
    splitter, piece = Splitter(), b"x" * 16_384
    for _ in range(MAX_LINE_BYTES // len(piece)):
        assert splitter.feed(piece) == []
    with pytest.raises(BadLine, match="too long"):
        splitter.feed(piece)
    assert len(splitter) <= MAX_LINE_BYTES + len(piece)


def test_a_long_line_that_ends_is_given_up_as_well() -> None:
    with pytest.raises(BadLine, match="too long"):
        Splitter().feed(b"x" * (MAX_LINE_BYTES + 1) + b"\n")
    with pytest.raises(BadLine, match="too long"):
        decode(b"x" * (MAX_LINE_BYTES + 1))
    assert Splitter().feed(b" " * MAX_LINE_BYTES + b"\n") == [b" " * MAX_LINE_BYTES]


@pytest.mark.parametrize(
    "text",
    [
        '{"v":1,"v":1,"room":"r","from":"a","to":"b","msg":{"kind":"leave","peer_id":"a"}}',
        '{"v":1,"room":"r","from":"a","to":"b","msg":{"kind":"leave","kind":"leave","peer_id":"a"}}',
        '{"v":1,"room":"r","from":"a","to":"b","msg":{"kind":"leave"}}',
        '{"v":1,"room":"r","from":"a","to":"b","msg":[]}',
        '{"v":1,"room":1,"from":"a","to":"b","msg":{"kind":"leave","peer_id":"a"}}',
        '{"v":-1,"room":"r","from":"a","to":"b","msg":{"kind":"leave","peer_id":"a"}}',
        "[" * 200,
    ],
)
def test_what_is_no_line_is_refused(text: str) -> None:
    with pytest.raises(BadLine):
        decode(text.encode())


@given(st.binary(max_size=300))
def test_any_bytes_are_a_line_a_blank_or_bad(data: bytes) -> None:
    try:
        line = decode(data)
    except BadLine:
        return
    assert line is None or line.sender is not None


@given(st.text(max_size=20), st.text(max_size=20))
def test_whatever_is_written_is_read_again(sender: str, text: str) -> None:
    try:
        data = encode("r", sender, "b", {"kind": "offer", "peer_id": "a", "sdp": text})
    except UnicodeEncodeError:  # a lone surrogate, which no JSON of ours holds
        return
    line = decode(data)
    assert line is not None
    assert line.sender == sender
    assert json.loads(bytes(dict(line.message)["sdp"])) == text
