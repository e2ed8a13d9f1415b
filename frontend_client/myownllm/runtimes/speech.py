"""A recogniser behind the API of OpenAI, `/audio/transcriptions`: `transcription` in `config.json`.

"transcription": {"base_url": "http://127.0.0.1:8080/v1", "model": "whisper-1", "api_key": "…", "language": "en"}
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final

import attrs

from mesh_common.values import Value
from myownllm.coerce import as_object, tolerant
from myownllm.runtimes.errors import RuntimeFailure
from myownllm.runtimes.http import Form, Http
from myownllm.runtimes.settings import RuntimeSettings
from myownllm.runtimes.told import Spoken, SpokenSegment, each
from myownllm.transcription.pcm import as_wav
from myownllm.transcription.request import TEXT_MAX_CHARS, Segment

if TYPE_CHECKING:
    from myownllm.coerce import Json, JsonObject
    from myownllm.transcription.cuts import Stretch

RECOGNISE_S: Final = 60.0
"""For a stretch of 14 seconds at most: slower than that is no help to anybody."""
SEGMENTS_MAX: Final = 256
MODEL: Final = "whisper-1"
"""The name that servers of one model take for theirs."""


class SpeechSettings(Value, frozen=True):
    """Which recogniser the app uses; None until one is configured."""

    server: RuntimeSettings
    model: str = MODEL
    language: str = ""

    @classmethod
    def read(cls, config: JsonObject) -> SpeechSettings | None:
        """From the whole configuration. What is wrong becomes the `problem` of `server`."""
        raw = config.get("transcription")
        if raw is None:
            return None
        members = as_object(raw)
        asked = {"runtime": {k: members[k] for k in ("base_url", "api_key") if k in members}}
        server = RuntimeSettings.read(asked)
        if server.problem:
            text = "`transcription.base_url` in config.json must be an address like http://127.0.0.1:8080/v1"
            server = attrs.evolve(server, problem=text)
        return cls(server, _text(members.get("model")) or MODEL, _text(members.get("language")))


class Recogniser:
    """One recogniser. Close it."""

    def __init__(self, settings: SpeechSettings) -> None:
        self.settings = settings
        self._http = Http(settings.server, "recogniser", "transcription")

    async def reachable(self, limit_s: float) -> None:
        """Raises RuntimeFailure."""
        await self._http.reachable(limit_s)

    async def recognise(self, stretch: Stretch) -> list[Segment]:
        """The words of a stretch of audio, with their times in the whole recording. Raises RuntimeFailure."""
        answer = await self._http.post_form("/audio/transcriptions", self.form(stretch.pcm), RECOGNISE_S)
        return read_answer(answer, stretch)

    async def aclose(self) -> None:
        await self._http.aclose()

    def form(self, pcm: bytes) -> Form:
        """What is sent of a stretch of audio."""
        boundary = secrets.token_hex(16)
        fields = {"model": self.settings.model, "response_format": "verbose_json", "language": self.settings.language}
        parts = [
            f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
            for name, value in fields.items()
            if value
        ]
        head = 'Content-Disposition: form-data; name="file"; filename="audio.wav"\r\nContent-Type: audio/wav'
        parts += [f"--{boundary}\r\n{head}\r\n\r\n".encode(), as_wav(pcm), f"\r\n--{boundary}--\r\n".encode()]
        return Form(f"multipart/form-data; boundary={boundary}", b"".join(parts))


def read_answer(answer: Json, stretch: Stretch) -> list[Segment]:
    """What a recogniser said. Raises RuntimeFailure for what is no answer."""
    said = tolerant(Spoken, answer)
    if said.text is None:
        raise RuntimeFailure("garbage", "the recogniser's answer has no text")
    parts = each(SpokenSegment, said.segments, SEGMENTS_MAX)
    segments = [_segment(part, stretch) for part in parts if part.text.strip()]
    if not segments and (text := said.text.strip()):
        segments = [Segment(text[:TEXT_MAX_CHARS], stretch.start_ms, stretch.end_ms)]
    return segments


def _segment(part: SpokenSegment, stretch: Stretch) -> Segment:
    start, end = _moment(part.start, stretch), _moment(part.end, stretch)
    return Segment(
        part.text.strip()[:TEXT_MAX_CHARS],
        stretch.start_ms if start is None else start,
        stretch.end_ms if end is None else end,
    )


def _moment(seconds: float | None, stretch: Stretch) -> int | None:
    """Within the stretch, whatever a recogniser says."""
    if seconds is None or not 0 <= seconds < 86_400:
        return None
    return min(stretch.start_ms + round(seconds * 1000), stretch.end_ms)


def _text(value: Json) -> str:
    """A name that may stand in a form."""
    return value if isinstance(value, str) and value.isprintable() and len(value) <= 200 else ""
