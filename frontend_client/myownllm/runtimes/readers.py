"""What model servers stream, read into pieces: Ollama's lines and OpenAI's events (spec 08 FE-9.48). Sans-IO.

A reader is fed bytes as they come. What is no answer raises RuntimeFailure; an answer that stops before its end does
when `close` is called, so half an answer is never taken for a whole one.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Final, Protocol

import attrs
import msgspec
from msgspec import UNSET

from mesh_common.client.errors import ControlError
from mesh_common.client.protocol import LineBuffer
from myownllm.coerce import tolerant
from myownllm.runtimes.chat import Delta, Finished, Thinking, ToolCall, Usage
from myownllm.runtimes.errors import RuntimeFailure
from myownllm.runtimes.told import (
    Call,
    Function,
    OllamaLine,
    OllamaMessage,
    OpenAiChoice,
    OpenAiDelta,
    OpenAiEvent,
    Refusal,
    each,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from myownllm.coerce import JsonObject
    from myownllm.runtimes.chat import Piece
    from myownllm.runtimes.told import S

LINE_MAX_BYTES: Final = 4 * 2**20
"""The longest line: one whole function call with its arguments."""
CALLS_MAX: Final = 64
"""Function calls in one answer."""
_SHOWN: Final = 120
"""Characters of what a server said that an error repeats."""


class Reader(Protocol):
    """Bytes of one streamed answer in, pieces out."""

    def feed(self, data: bytes) -> list[Piece]:
        """What is complete now. Raises RuntimeFailure."""
        ...

    def close(self) -> list[Piece]:
        """The server has closed the stream. Raises RuntimeFailure unless the answer is complete."""
        ...

    @property
    def finished(self) -> bool:
        """The answer is complete; whatever follows is not looked at."""
        ...


class _Lines(ABC):
    """The common half: lines of bounded length."""

    def __init__(self) -> None:
        self._buffer = LineBuffer(LINE_MAX_BYTES)
        self.finished = False

    def feed(self, data: bytes) -> list[Piece]:
        try:
            lines = self._buffer.feed(data)
        except ControlError:
            raise RuntimeFailure("garbage", "the model server sent a line without an end") from None
        return [piece for line in lines for piece in self._line(line.strip())]

    def close(self) -> list[Piece]:
        pieces = list(self._line(self._buffer.rest().strip()))
        if not self.finished:
            raise RuntimeFailure("broken", "the model server closed the connection in the middle of its answer")
        return pieces

    @abstractmethod
    def _line(self, line: bytes) -> Iterator[Piece]: ...


class OllamaReader(_Lines):
    """`/api/chat`: one JSON object per line, the last one with `done`."""

    def _line(self, line: bytes) -> Iterator[Piece]:
        if not line or self.finished:
            return
        said = _told(line, OllamaLine)
        if said.error is not UNSET:
            raise RuntimeFailure("refused", error_text(said.error))
        message = tolerant(OllamaMessage, said.message)
        yield from _words(message.thinking, Thinking)
        yield from _words(message.content, Delta)
        for call in each(Call, message.tool_calls, CALLS_MAX):
            function = tolerant(Function, call.function)
            yield _call(function.name, function.arguments, call.id)
        if said.done:
            yield from _usage(said.prompt_eval_count, said.eval_count)
            self.finished = True
            yield Finished(said.done_reason or "stop")
        elif said.message is UNSET:
            raise _no_chat(line)


@attrs.define
class _CallInParts:
    """A function call whose name and arguments come in several events."""

    id: str = ""
    name: str = ""
    arguments: str = ""


class OpenAiReader(_Lines):
    """`/chat/completions` with `stream`: server-sent events, the last one `[DONE]`.

    Function calls come in parts, which are put together: a call is told when it is whole.
    """

    def __init__(self) -> None:
        super().__init__()
        self._calls: dict[int, _CallInParts] = {}
        self._reason = ""

    def close(self) -> list[Piece]:
        pieces = self.feed(b"\n")
        if not self.finished and self._reason:  # some servers leave the last event out
            pieces += self._end()
        return [*pieces, *super().close()]

    def _line(self, line: bytes) -> Iterator[Piece]:
        if not line or self.finished or line.startswith((b":", b"event:", b"id:", b"retry:")):
            return
        is_event = line.startswith(b"data:")
        data = line.removeprefix(b"data:").strip()
        if data == b"[DONE]":
            yield from self._end()
            return
        said = _told(data, OpenAiEvent)
        if said.error:
            raise RuntimeFailure("refused", error_text(said.error))
        if not is_event or said.choices is None:
            raise _no_chat(line)
        for choice in each(OpenAiChoice, said.choices, 1):
            yield from self._choice(choice)
        yield from _usage(said.usage.prompt_tokens, said.usage.completion_tokens)

    def _choice(self, choice: OpenAiChoice) -> Iterator[Piece]:
        delta = tolerant(OpenAiDelta, choice.delta)
        yield from _words(delta.reasoning_content or delta.reasoning, Thinking)
        yield from _words(delta.content, Delta)
        for part in each(Call, delta.tool_calls):
            self._gather(part)
        self._reason = choice.finish_reason or self._reason

    def _gather(self, part: Call) -> None:
        function = tolerant(Function, part.function)
        if not isinstance(part.index, int) or not 0 <= part.index < CALLS_MAX:
            raise RuntimeFailure("garbage", f"the model server sent function call number {part.index!r}")
        call = self._calls.setdefault(part.index, _CallInParts())
        call.id, call.name = part.id or call.id, function.name or call.name
        more = json.dumps(function.arguments) if isinstance(function.arguments, dict) else function.arguments
        call.arguments += more if isinstance(more, str) else ""
        if len(call.arguments) > LINE_MAX_BYTES:
            raise RuntimeFailure("garbage", "the model server sent a function call without an end")

    def _end(self) -> Iterator[Piece]:
        for index in sorted(self._calls):
            call = self._calls[index]
            yield _call(call.name, call.arguments, call.id)
        self.finished = True
        yield Finished(self._reason or "stop")


def error_text(error: Any) -> str:
    """The reason in a server's error, which is a text or an object with `message`."""
    text = error if isinstance(error, str) else tolerant(Refusal, error).message
    return text[:2000] if text else "the model server failed without a reason"


def _told(line: bytes, cls: type[S]) -> S:
    """An object that the server sent."""
    try:
        raw = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise _no_chat(line) from None
    if not isinstance(raw, dict):
        raise _no_chat(line)
    return tolerant(cls, raw)


def _no_chat(line: bytes) -> RuntimeFailure:
    said = line[:_SHOWN].decode(errors="replace")
    return RuntimeFailure("garbage", f"the model server sent something that is no part of an answer: {said!r}")


def _words(text: str | None, kind: type[Delta | Thinking]) -> Iterator[Piece]:
    if text:
        yield kind(text)


def _call(name: str | None, arguments: Any, call_id: str | None) -> ToolCall:
    """A whole function call. Arguments that are no object stay the text that the model wrote."""
    if not name:
        raise RuntimeFailure("garbage", "the model server sent a function call without a name")
    if isinstance(arguments, str):
        arguments = arguments_object(arguments)
    return ToolCall(name, arguments if isinstance(arguments, dict | str) else {}, call_id or "")


def arguments_object(text: str) -> JsonObject | str:
    """The object in a text of arguments, or the text itself when it holds none; an empty text means no arguments."""
    try:
        value = msgspec.json.decode(text.strip() or "{}")
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return text
    return value if isinstance(value, dict) else text


def _usage(prompt: int | None, completion: int | None) -> Iterator[Piece]:
    if prompt is not None and completion is not None:
        yield Usage(prompt, completion)
