"""Audio on its way to a recogniser, without one: formats, frames, cuts, what peers say (spec 08 §9.6)."""

from __future__ import annotations

import io
import math
import random
import struct
import wave
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from myownllm.payloads import PayloadError, structure
from myownllm.transcription import cuts, frames, pcm
from myownllm.transcription.cuts import Cutter
from myownllm.transcription.frames import AudioFrame, Reorder, cut_frames, read_frame
from myownllm.transcription.pcm import AudioError, Converter, as_wav
from myownllm.transcription.request import Segment, TranscribeRequest, read_segment


def tone(rate: int, seconds: float, hertz: int = 440) -> list[int]:
    return [int(12_000 * math.sin(2 * math.pi * hertz * n / rate)) for n in range(int(rate * seconds))]


def packed(samples: list[int], sample_bytes: int, channels: int) -> bytes:
    if sample_bytes == 1:
        return b"".join(bytes([(s >> 8) + 128]) * channels for s in samples)
    return b"".join(
        (s << 8 * (sample_bytes - 2)).to_bytes(sample_bytes, "little", signed=True) * channels for s in samples
    )


def unpacked(data: bytes) -> list[int]:
    return list(struct.unpack(f"<{len(data) // 2}h", data))


@pytest.mark.parametrize("rate", [8000, 11_025, 16_000, 22_050, 44_100, 48_000])
@pytest.mark.parametrize(("sample_bytes", "channels"), [(1, 1), (2, 1), (2, 2), (3, 2), (4, 6)])
def test_every_format_becomes_the_same_tone(rate: int, sample_bytes: int, channels: int) -> None:
    data = packed(tone(rate, 0.25), sample_bytes, channels)
    converter, rng, out = Converter(rate, channels, sample_bytes), random.Random(rate), b""
    at = 0
    while at < len(data):
        size = rng.randrange(1, 5000)
        out += converter.feed(data[at : at + size])
        at += size
    out += converter.flush()
    got, wanted = unpacked(out), tone(16_000, 0.25)
    assert abs(len(got) - len(wanted)) <= 2
    errors = [abs(g - w) for g, w in zip(got[10:-10], wanted[10:-10], strict=False)]
    assert sum(errors) / len(errors) < 1300, "the same tone, give or take a sample and the filter"


@given(st.binary(max_size=400), st.sampled_from([8000, 16_000, 44_100]), st.data())
def test_how_a_file_is_cut_into_reads_changes_nothing(data: bytes, rate: int, draw: st.DataObject) -> None:
    whole = Converter(rate, 2, 2)
    expected = whole.feed(data) + whole.flush()
    pieces, converter, got = data, Converter(rate, 2, 2), b""
    while pieces:
        size = draw.draw(st.integers(1, len(pieces)))
        got += converter.feed(pieces[:size])
        pieces = pieces[size:]
    assert got + converter.flush() == expected


@pytest.mark.parametrize("audio", [(0, 1, 2), (500_000, 1, 2), (16_000, 0, 2), (16_000, 65, 2), (16_000, 1, 8)])
def test_formats_that_are_none(audio: tuple[int, int, int]) -> None:
    with pytest.raises(AudioError):
        Converter(*audio)


def test_a_wav_file_is_one() -> None:
    data = packed(tone(16_000, 0.1), 2, 1)
    with wave.open(io.BytesIO(as_wav(data))) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (16_000, 1, 2)
        assert file.readframes(10_000) == data
    assert pcm.duration_ms(len(data)) == 100


# ── cuts ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_speech_is_cut_where_it_is_quiet() -> None:
    loud, quiet = packed(tone(16_000, 9), 2, 1), bytes(16_000)  # half a second of silence
    audio = (loud + quiet + loud * 2)[:640_000]
    cutter = Cutter()
    stretches = [s for at in range(0, len(audio), 9999) for s in cutter.feed(audio[at : at + 9999])]
    (last,) = cutter.flush()
    assert 9000 <= stretches[0].end_ms <= 9500
    assert all(6000 <= s.end_ms - s.start_ms <= 14_000 for s in stretches)
    assert last.end_ms == 20_000
    assert b"".join(s.pcm for s in [*stretches, last]) == audio
    assert [s.start_ms for s in [*stretches[1:], last]] == [s.end_ms for s in stretches]


def test_short_recordings() -> None:
    assert Cutter().flush() == []
    cutter = Cutter()
    assert cutter.feed(b"\1\0\2\0\3") == []
    assert [s.pcm for s in cutter.flush()] == [b"\1\0\2\0"]
    assert cuts.loudness(b"") == 0


# ── frames ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@given(st.integers(1, 60), st.data())
def test_frames_come_in_any_order_and_more_than_once(count: int, data: st.DataObject) -> None:
    """FE-9.28, FE-12.36."""
    sent = [AudioFrame(i, bytes([i, 0]), is_final=i == count - 1) for i in range(count)]
    keys = [(f.index + data.draw(st.integers(0, 20)), f) for f in sent for _ in range(data.draw(st.integers(1, 2)))]
    reorder, heard = Reorder(), b""
    for _, frame in sorted(keys, key=lambda pair: pair[0]):
        heard += reorder.put(frame, 0.0)
    assert heard == b"".join(f.pcm for f in sent)
    assert reorder.ended
    assert reorder.put(sent[0], 0.0) == b""
    assert (reorder.heard, reorder.skipped, reorder.due) == (count, 0, None)


def test_a_gap_is_waited_for_and_then_skipped() -> None:
    reorder = Reorder()
    assert reorder.put(AudioFrame(0, b"a0"), 0.0) == b"a0"
    assert reorder.due is None
    assert reorder.put(AudioFrame(2, b"c0"), 1.0) == b""
    assert reorder.put(AudioFrame(5, b"f0", is_final=True), 4.0) == b""
    assert reorder.due == 6.0
    assert reorder.skip(5.9) == b""
    assert reorder.skip(6.0) == b"c0"
    assert reorder.due == 11.0
    assert reorder.put(AudioFrame(1, b"b0"), 7.0) == b"", "too late"
    assert reorder.put(AudioFrame(3 + frames.WINDOW, b"x0"), 7.0) == b"", "too far ahead"
    assert reorder.skip(11.0) == b"f0"
    assert (reorder.ended, reorder.skipped, reorder.heard) == (True, 3, 6)
    assert reorder.skip(99.0) == b""


@pytest.mark.parametrize(
    "payload",
    [None, [], {}, {"index": True, "bytes_b64": ""}, {"index": -1, "bytes_b64": ""}, {"index": 2**31, "bytes_b64": ""},
     {"index": 0}, {"index": 0, "bytes_b64": 7}, {"index": 0, "bytes_b64": "!!!!"}, {"index": 0, "bytes_b64": "AA=="},
     {"index": 0, "bytes_b64": "A" * 61_444}, {"index": "0", "bytes_b64": ""}],
)  # fmt: skip
def test_what_is_no_frame(payload: Any) -> None:
    assert read_frame(payload) is None


def test_frames_on_the_wire() -> None:
    whole, rest = cut_frames(bytes(70_000))
    assert ([len(w) for w in whole], len(rest)) == ([32_000, 32_000], 6000)
    for frame in (AudioFrame(0, whole[0]), AudioFrame(7, b"", is_final=True)):
        assert read_frame(frame.to_json()) == frame


# ── what peers say ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_requests() -> None:
    assert structure(TranscribeRequest, {"runtime": "moonshine", "model": "small", "sample_rate": 16_000}).channel == ""
    full = {"runtime": "", "model": "", "diarize_model": None, "sample_rate": 16_000, "stream_id": "ab", "window": True}
    assert structure(TranscribeRequest, full).channel == "transcribe_audio/ab"
    assert structure(TranscribeRequest, {"stream_id": "../x"}).channel == ""
    for wrong in (
        {"sample_rate": 8000},
        {"runtime": 7},
        {"model": "m" * 201},
        {"diarize_model": []},
        {"window": 1},
        None,
    ):
        with pytest.raises(PayloadError):
            structure(TranscribeRequest, wrong)


def test_segments() -> None:
    segment = Segment("hello", 0, 500)
    assert read_segment(segment.to_json()) == segment
    assert read_segment({"text": "x" * 20_000, "start_ms": -1, "end_ms": True, "speaker": 3}) == Segment("x" * 16_384)
    assert read_segment({"text": "a", "speaker": "Anna"}) == Segment("a", speaker="Anna")
    for nothing in (None, 7, {}, {"text": None}, {"ready": True}, {"heard": 7}):
        assert read_segment(nothing) is None
