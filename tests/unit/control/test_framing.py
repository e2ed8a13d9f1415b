from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from myownmesh.control.framing import LineBuffer, LineTooLong

if TYPE_CHECKING:
    from collections.abc import Callable


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


def grows_with(work: Callable[[int], object], size: int) -> float:
    """How many times as much processor time eight times the size takes."""

    def seconds(size: int) -> float:
        begin = time.process_time()
        work(size)
        return time.process_time() - begin

    return min(seconds(8 * size) for _ in range(3)) / min(seconds(size) for _ in range(3))


QUADRATIC = 8 * 6
"""What is linear stays far below, also on a busy machine; what copies all that waits each time comes to 64."""


def test_the_cost_of_a_long_line_in_small_pieces_is_linear() -> None:
    def feed(total: int) -> None:
        buffer = LineBuffer()
        for _ in range(total // 1024):
            buffer.feed(b"x" * 1024)
            assert buffer.next_line() is None

    assert grows_with(feed, 256 * 1024) < QUADRATIC


@pytest.mark.heavy
def test_many_short_lines_in_one_read_cost_no_copying_of_the_rest() -> None:
    def read(lines: int) -> None:
        buffer = LineBuffer()
        buffer.feed(b"{}\n" * lines)
        assert len(drain(buffer)) == lines

    assert grows_with(read, 50_000) < QUADRATIC
