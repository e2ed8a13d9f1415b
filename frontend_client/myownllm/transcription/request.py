"""What a device asks for when it wants something transcribed, and what it gets (spec 08 §9.6). Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import attrs

from myownllm.transcription.pcm import RATE
from myownllm.transfers.offer import is_transfer_id

if TYPE_CHECKING:
    from myownllm.coerce import Json, JsonObject

FEATURE: Final = "transcribe_request"
STREAM_ID_FEATURE: Final = "transcribe_stream_id_v1"
TOO_OLD: Final = "caller too old for remote transcription"
NO_RECOGNISER: Final = "no local ASR available"
NAME_MAX_CHARS: Final = 200
TEXT_MAX_CHARS: Final = 16_384


def _name(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    if not isinstance(value, str) or len(value) > NAME_MAX_CHARS:
        raise ValueError(f"{attribute.name} is no name")


def _rate(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    if value != RATE:
        raise ValueError(f"{attribute.name} must be {RATE}")


@attrs.frozen
class TranscribeRequest:
    """The payload of `transcribe`. An empty runtime or model leaves the choice to the host."""

    runtime: str = attrs.field(default="", validator=_name)
    model: str = attrs.field(default="", validator=_name)
    diarize_model: str | None = attrs.field(default=None, validator=attrs.validators.optional(_name))
    sample_rate: int = attrs.field(default=RATE, validator=_rate)
    stream_id: str = attrs.field(default="", validator=_name)
    window: bool = attrs.field(default=False, validator=attrs.validators.instance_of(bool))
    """the caller waits for `heard` before it sends more"""

    @property
    def channel(self) -> str:
        """Where its audio comes; empty when the caller cannot say (FE-9.26)."""
        return audio_channel(self.stream_id) if is_transfer_id(self.stream_id) else ""


def audio_channel(stream_id: str) -> str:
    return f"transcribe_audio/{stream_id}"


@attrs.frozen
class Segment:
    """Some words, and when they were said."""

    text: str
    start_ms: int | None = None
    end_ms: int | None = None
    speaker: str | None = None

    def to_json(self) -> JsonObject:
        return {k: v for k, v in attrs.asdict(self).items() if v is not None}


def read_segment(piece: Json) -> Segment | None:
    """A piece of a host's answer; None for one without words."""
    if not isinstance(piece, dict) or not isinstance(text := piece.get("text"), str):
        return None
    speaker = piece.get("speaker")
    return Segment(
        text[:TEXT_MAX_CHARS],
        _moment(piece.get("start_ms")),
        _moment(piece.get("end_ms")),
        speaker[:NAME_MAX_CHARS] if isinstance(speaker, str) else None,
    )


def _moment(value: Json) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53 else None
