from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from myownmesh.control.framing import LineBuffer, LineTooLong


def drain(buffer: LineBuffer) -> list[bytes]:
    lines = []
    while (line := buffer.next_line()) is not None:
        lines.append(line)
    return lines


@given(st.lists(st.binary(max_size=20).map(lambda b: b.replace(b"\n", b"x").rstrip(b"\r"))), st.data())
def test_lines_come_out_as_they_went_in_however_the_stream_is_cut(lines: list[bytes], data: st.DataObject) -> None:
    ends = [data.draw(st.sampled_from([b"\n", b"\r\n"])) for _ in lines]
    stream = b"".join(line + end for line, end in zip(lines, ends, strict=True))
    buffer = LineBuffer()
    seen = []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        buffer.feed(stream[:size])
        stream = stream[size:]
        seen += drain(buffer)
    assert seen == lines
    assert buffer.last_line() is None
    assert len(buffer) == 0


def test_what_follows_the_last_line_end_is_given_at_the_end_of_the_stream() -> None:
    buffer = LineBuffer()
    buffer.feed(b"one\ntwo\r")
    assert drain(buffer) == [b"one"]
    assert buffer.last_line() == b"two"
    assert buffer.last_line() is None


def test_a_line_as_long_as_the_limit_passes_and_one_byte_more_does_not() -> None:
    buffer = LineBuffer(limit=10)
    buffer.feed(b"x" * 10 + b"\n")
    assert drain(buffer) == [b"x" * 10]
    buffer.feed(b"x" * 11 + b"\n")
    with pytest.raises(LineTooLong):
        buffer.next_line()


def test_a_line_without_an_end_is_refused_once_it_is_too_long() -> None:
    buffer = LineBuffer(limit=10)
    buffer.feed(b"x" * 10)
    assert buffer.next_line() is None
    buffer.feed(b"x")
    with pytest.raises(LineTooLong):
        buffer.next_line()


def test_the_cost_of_a_long_line_in_small_pieces_is_linear() -> None:
    def seconds(total: int) -> float:
        buffer = LineBuffer()
        begin = time.process_time()
        for _ in range(total // 1024):
            buffer.feed(b"x" * 1024)
            assert buffer.next_line() is None
        return time.process_time() - begin

    small = min(seconds(256 * 1024) for _ in range(3))
    large = min(seconds(2 * 1024 * 1024) for _ in range(3))
    assert large < small * 8 * 6, "eight times the bytes must not cost much more than eight times the time"


@pytest.mark.heavy
def test_many_short_lines_in_one_read_cost_no_copying_of_the_rest() -> None:
    buffer = LineBuffer()
    buffer.feed(b"{}\n" * 400_000)
    begin = time.process_time()
    assert len(drain(buffer)) == 400_000
    assert time.process_time() - begin < 3
