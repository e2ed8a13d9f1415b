"""What recognisers answer, and which one is configured (spec 08 §9.6)."""

from __future__ import annotations

import io
import wave
from typing import Any

import pytest

from myownllm.runtimes import RuntimeFailure
from myownllm.runtimes.speech import SEGMENTS_MAX, Recogniser, SpeechSettings, read_answer
from myownllm.transcription.cuts import Stretch
from myownllm.transcription.request import Segment

STRETCH = Stretch(5000, bytes(64_000))


@pytest.mark.parametrize(
    ("answer", "segments"),
    [
        ({"text": " Hello. "}, [Segment("Hello.", 5000, 7000)]),
        ({"text": ""}, []),
        ({"text": "a b", "segments": [{"text": " a", "start": 0.5, "end": 1}, {"text": "b ", "start": 1.0, "end": 99}]},
         [Segment("a", 5500, 6000), Segment("b", 6000, 7000)]),
        ({"text": "a", "segments": "none"}, [Segment("a", 5000, 7000)]),
        ({"text": "a", "segments": [7, {"text": 3}, {"text": "  "}, {"text": "x", "start": -1, "end": True}]},
         [Segment("x", 5000, 7000)]),
        ({"text": "x" * 20_000}, [Segment("x" * 16_384, 5000, 7000)]),
    ],
)  # fmt: skip
def test_answers(answer: Any, segments: list[Segment]) -> None:
    assert read_answer(answer, STRETCH) == segments


def test_an_endless_answer_is_cut() -> None:
    many = {"text": "a", "segments": [{"text": "a"}] * 1000}
    assert len(read_answer(many, STRETCH)) == SEGMENTS_MAX


@pytest.mark.parametrize("answer", [None, [], "a", {}, {"text": None}])
def test_what_is_no_answer(answer: Any) -> None:
    with pytest.raises(RuntimeFailure, match="the recogniser's answer has no text"):
        read_answer(answer, STRETCH)


def test_settings() -> None:
    assert SpeechSettings.read({}) is None
    url = "http://127.0.0.1:8080/v1"
    full = SpeechSettings.read(
        {"transcription": {"base_url": url + "/", "model": "m", "api_key": "k", "language": "de"}}
    )
    assert full is not None
    assert (full.server.base_url, full.server.api_key, full.model, full.language) == (url, "k", "m", "de")
    plain = SpeechSettings.read({"transcription": {"base_url": url, "model": 'a"\r\nb', "language": 7}})
    assert plain is not None
    assert (plain.model, plain.language) == ("whisper-1", "")
    for wrong in (7, {}, {"base_url": "ftp://x"}, {"base_url": 7}):
        settings = SpeechSettings.read({"transcription": wrong})
        assert settings is not None
        assert "`transcription.base_url` in config.json must be an address" in settings.server.problem


def test_the_form_that_a_recogniser_is_sent() -> None:
    settings = SpeechSettings.read({"transcription": {"base_url": "http://127.0.0.1:1/v1", "language": "en"}})
    assert settings is not None
    form = Recogniser(settings).form(STRETCH.pcm)
    boundary = form.content_type.removeprefix("multipart/form-data; boundary=").encode()
    *fields, audio, end = form.data.split(b"--" + boundary)
    assert end == b"--\r\n"
    assert [f.partition(b"\r\n\r\n")[2] for f in fields[1:]] == [b"whisper-1\r\n", b"verbose_json\r\n", b"en\r\n"]
    with wave.open(io.BytesIO(audio.partition(b"\r\n\r\n")[2])) as file:
        assert file.readframes(100_000) == STRETCH.pcm


async def test_a_recogniser_that_is_not_there_is_told_with_the_way_out() -> None:
    settings = SpeechSettings.read({"transcription": {"base_url": "http://127.0.0.1:1/v1"}})
    assert settings is not None
    recogniser = Recogniser(settings)
    with pytest.raises(RuntimeFailure, match=r"no recogniser at http://127\.0\.0\.1:1/v1: .*set `transcription`"):
        await recogniser.reachable(2)
    await recogniser.aclose()
