"""Frames of clients, however they are cut and whatever they say (RFC 6455)."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from myownmesh.relay import frames
from myownmesh.relay.frames import BrokenFrames, Incoming
from support.examples import examples


def framed(payload: bytes, opcode: int = frames.TEXT, *, fin: bool = True, mask: bytes = b"\x01\x02\x03\x04") -> bytes:
    """As a client writes it, byte by byte."""
    length = len(payload)
    head = bytes(((0x80 if fin else 0) | opcode,))
    if length < 126:
        head += bytes((0x80 | length,))
    elif length < 65536:
        head += b"\xfe" + length.to_bytes(2)
    else:
        head += b"\xff" + length.to_bytes(8)
    return head + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))


MESSAGES = st.one_of(
    st.tuples(st.just(frames.TEXT), st.text(max_size=300).map(str.encode)),
    st.tuples(st.just(frames.BINARY), st.binary(max_size=300)),
    st.tuples(st.sampled_from([frames.PING, frames.PONG]), st.binary(max_size=125)),
)


@settings(max_examples=examples(40))
@given(st.lists(MESSAGES, max_size=8), st.integers(1, 40), st.binary(min_size=4, max_size=4), st.integers(1, 200))
def test_what_is_written_is_read_however_it_is_cut(
    messages: list[tuple[int, bytes]], cut: int, mask: bytes, piece: int
) -> None:
    written = b""
    for opcode, payload in messages:
        pieces = [payload[at : at + piece] for at in range(0, len(payload), piece)] or [b""]
        if opcode >= frames.CLOSE:
            pieces = [payload]
        for number, part in enumerate(pieces):
            last = number == len(pieces) - 1
            written += framed(part, 0 if number else opcode, fin=last, mask=mask)
            if not last:
                written += framed(b"between", frames.PING, mask=mask)
    incoming = Incoming()
    read = [
        message
        for at in range(0, len(written), cut)
        for message in incoming.feed(written[at : at + cut])
        if message != (frames.PING, b"between")
    ]
    assert read == messages
    assert incoming.held == 0


@pytest.mark.parametrize(
    ("written", "code"),
    [
        (b"\x81\x00", 1002),  # no mask
        (framed(b"x", 0x3), 1002),
        (framed(b"x", 0xB), 1002),
        (framed(b"x", 0x41), 1002),  # a reserved bit
        (framed(b"x", 0), 1002),  # goes on with nothing
        (framed(b"x", fin=False) + framed(b"x"), 1002),  # begins amid another one
        (framed(b"x", frames.PING, fin=False), 1002),
        (framed(b"x" * 126, frames.PING), 1002),
        (framed(b"x", frames.CLOSE), 1002),
        (framed((1005).to_bytes(2), frames.CLOSE), 1002),
        (framed((1000).to_bytes(2) + b"\xff", frames.CLOSE), 1007),
        (framed(b"\xff"), 1007),
        (framed(b"\xc3", fin=False) + framed(b"", 0), 1007),
        (b"\x81\xff" + (2**20 + 1).to_bytes(8) + bytes(4), 1009),  # refused before it comes
        (b"\x81\xff" + (2**64 - 1).to_bytes(8) + bytes(4), 1009),
        (framed(b"x" * 2**19, fin=False) + framed(b"x" * (2**19 + 1), 0), 1009),
        (framed(b"", fin=False) + framed(b"", 0, fin=False) * 1024, 1009),
    ],
)
def test_what_breaks_the_protocol_is_refused_behind_what_came_before(written: bytes, code: int) -> None:
    messages = Incoming().feed(framed(b"before") + written)
    assert next(messages) == (frames.TEXT, b"before")
    with pytest.raises(BrokenFrames) as caught:
        list(messages)
    assert caught.value.code == code


def test_a_text_may_be_cut_within_a_character() -> None:
    assert list(Incoming().feed(framed(b"\xc3", fin=False) + framed(b"\xa9", 0))) == [(frames.TEXT, "é".encode())]


@pytest.mark.parametrize("code", [1000, 1003, 1007, 1014, 3000, 4999])
def test_a_close_says_why(code: int) -> None:
    payload = code.to_bytes(2) + b"bye"
    assert list(Incoming().feed(framed(payload, frames.CLOSE))) == [(frames.CLOSE, payload)]


def test_the_length_is_written_in_as_few_bytes_as_it_needs() -> None:
    assert frames.text_frame(b"x" * 125)[:2] == b"\x81\x7d"
    assert frames.text_frame(b"x" * 126)[:4] == b"\x81\x7e\x00\x7e"
    assert frames.text_frame(b"x" * 65536)[:10] == b"\x81\x7f" + (65536).to_bytes(8)
    assert frames.close_frame() == b"\x88\x00"
    assert frames.close_frame(1008, "why") == b"\x88\x05\x03\xf0why"
    assert (frames.ping_frame(), frames.pong_frame(b"x")) == (b"\x89\x00", b"\x8a\x01x")


@settings(max_examples=examples(40))
@given(st.lists(st.binary(max_size=40), max_size=10))
def test_any_bytes_are_messages_or_refused(pieces: list[bytes]) -> None:
    incoming = Incoming()
    with suppress(BrokenFrames):
        for piece in pieces:
            for opcode, payload in incoming.feed(piece):
                assert opcode in (frames.TEXT, frames.BINARY, frames.CLOSE, frames.PING, frames.PONG)
                assert len(payload) <= frames.MAX_MESSAGE_BYTES
    assert incoming.held <= sum(map(len, pieces))
