"""Messages on a stream (spec 06 §8.1)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from myownmesh.turn.framing import BadFrame, Frames, framed
from support import vectors

TURN = vectors.load("signaling", "turn")
VECTOR = TURN["stream_framing"]


def test_the_vector_is_written_and_read() -> None:
    frames = [bytes.fromhex(VECTOR[name]) for name in VECTOR["read_back"]]
    wire = bytes.fromhex(VECTOR["wire_hex"])
    assert b"".join(framed(each) for each in frames) == wire
    assert list(Frames().feed(wire)) == frames


@pytest.mark.parametrize("case", TURN["stream_frame_lengths"])
def test_the_first_four_bytes_say_how_long_a_frame_is(case: dict[str, Any]) -> None:
    first = bytes.fromhex(case["first4_hex"])
    frames = Frames()
    if "error" in case:
        with pytest.raises(BadFrame):
            list(frames.feed(first))
        return
    size = case.get("body", case.get("frame"))
    (frame,) = frames.feed(first + bytes(case.get("consumed", size) - 4))
    assert len(frame) == size
    assert not frames.is_amid
    assert list(frames.feed(first + bytes(case["consumed"] - 5))) == []
    assert frames.is_amid


@pytest.mark.heavy
@given(payloads=st.lists(st.binary(max_size=9), max_size=5), cuts=st.lists(st.integers(0, 80), max_size=6))
def test_however_a_stream_is_cut_its_frames_are_the_same(payloads: list[bytes], cuts: list[int]) -> None:
    sent = [b"\x40\x01" + len(each).to_bytes(2) + each for each in payloads]
    wire = b"".join(framed(each) for each in sent)
    frames, got, at = Frames(), [], 0
    for cut in [*sorted(cuts), len(wire)]:
        if cut > at or cut == len(wire):
            got += frames.feed(wire[at:cut])
            at = max(at, cut)
    assert got == sent


def test_whole_frames_in_front_of_a_bad_one_are_handed_out() -> None:
    good = bytes.fromhex("4001000161") + bytes(3)
    frames = Frames().feed(good + b"\xff" * 8)
    assert next(frames) == good[:5]
    with pytest.raises(BadFrame):
        next(frames)
