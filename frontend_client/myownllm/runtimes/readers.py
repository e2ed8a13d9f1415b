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

from mesh_common.client.errors import ControlError
from mesh_common.client.protocol import LineBuffer
from myownllm.coerce import as_object
from myownllm.runtimes.chat import Delta, Finished, Thinking, ToolCall, Usage
from myownllm.runtimes.errors import RuntimeFailure

if TYPE_CHECKING:
    from collections.abc import Iterator

    from myownllm.coerce import JsonObject
    from myownllm.runtimes.chat import Piece

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
        raw = _object(line)
        if "error" in raw:
            raise RuntimeFailure("refused", error_text(raw))
        message = as_object(raw.get("message"))
        yield from _words(message.get("thinking"), Thinking)
        yield from _words(message.get("content"), Delta)
        calls = message.get("tool_calls")
        for call in calls[:CALLS_MAX] if isinstance(calls, list) else ():
            function = as_object(as_object(call).get("function"))
            yield _call(function.get("name"), function.get("arguments"), as_object(call).get("id"))
        if raw.get("done") is True:
            yield from _usage(raw.get("prompt_eval_count"), raw.get("eval_count"))
            reason = raw.get("done_reason")
            self.finished = True
            yield Finished(reason if isinstance(reason, str) and reason else "stop")
        elif "message" not in raw:
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
        raw = _object(data)
        if raw.get("error"):
            raise RuntimeFailure("refused", error_text(raw))
        choices = raw.get("choices")
        if not is_event or not isinstance(choices, list):
            raise _no_chat(line)
        for choice in choices[:1]:
            yield from self._choice(as_object(choice))
        usage = as_object(raw.get("usage"))
        yield from _usage(usage.get("prompt_tokens"), usage.get("completion_tokens"))

    def _choice(self, choice: JsonObject) -> Iterator[Piece]:
        delta = as_object(choice.get("delta"))
        yield from _words(delta.get("reasoning_content") or delta.get("reasoning"), Thinking)
        yield from _words(delta.get("content"), Delta)
        calls = delta.get("tool_calls")
        for call in calls if isinstance(calls, list) else ():
            self._gather(as_object(call))
        reason = choice.get("finish_reason")
        if isinstance(reason, str) and reason:
            self._reason = reason

    def _gather(self, part: JsonObject) -> None:
        index, function = part.get("index", 0), as_object(part.get("function"))
        if not isinstance(index, int) or not 0 <= index < CALLS_MAX:
            raise RuntimeFailure("garbage", f"the model server sent function call number {index!r}")
        call = self._calls.setdefault(index, _CallInParts())
        for member, text in (("id", part.get("id")), ("name", function.get("name"))):
            if isinstance(text, str) and text:
                setattr(call, member, text)
        more = function.get("arguments")
        if isinstance(more, dict):
            more = json.dumps(more)
        call.arguments += more if isinstance(more, str) else ""
        if len(call.arguments) > LINE_MAX_BYTES:
            raise RuntimeFailure("garbage", "the model server sent a function call without an end")

    def _end(self) -> Iterator[Piece]:
        for index in sorted(self._calls):
            call = self._calls[index]
            yield _call(call.name, call.arguments, call.id)
        self.finished = True
        yield Finished(self._reason or "stop")


def error_text(raw: JsonObject) -> str:
    """The reason in a server's error, which is a text or an object with `message`."""
    error = raw.get("error")
    text = error if isinstance(error, str) else as_object(error).get("message")
    return text[:2000] if isinstance(text, str) and text else "the model server failed without a reason"


def _object(line: bytes) -> JsonObject:
    try:
        raw = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise _no_chat(line) from None
    if not isinstance(raw, dict):
        raise _no_chat(line)
    return raw


def _no_chat(line: bytes) -> RuntimeFailure:
    said = line[:_SHOWN].decode(errors="replace")
    return RuntimeFailure("garbage", f"the model server sent something that is no part of an answer: {said!r}")


def _words(text: Any, kind: type[Delta | Thinking]) -> Iterator[Piece]:
    if isinstance(text, str) and text:
        yield kind(text)


def _call(name: Any, arguments: Any, call_id: Any) -> ToolCall:
    """A whole function call. Arguments that are no object stay the text that the model wrote."""
    if not isinstance(name, str) or not name:
        raise RuntimeFailure("garbage", "the model server sent a function call without a name")
    if isinstance(arguments, str):
        arguments = arguments_object(arguments)
    known = arguments if isinstance(arguments, dict | str) else {}
    return ToolCall(name, known, call_id if isinstance(call_id, str) else "")


def arguments_object(text: str) -> JsonObject | str:
    """The object in a text of arguments, or the text itself when it holds none; an empty text means no arguments."""
    try:
        value = msgspec.json.decode(text.strip() or "{}")
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return text
    return value if isinstance(value, dict) else text


def _usage(prompt: Any, completion: Any) -> Iterator[Piece]:
    if all(isinstance(n, int) and not isinstance(n, bool) for n in (prompt, completion)):
        yield Usage(prompt, completion)
