"""The payload of `infer` and its chunks, both ways (spec 08 §9.4, FE-9.16). Pure.

Request: `{messages, family, mode, think?, tools?, stream_id}`, and of ours `model` and `options`, which an app that
does not know them ignores. A chunk has exactly one member.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import attrs
import msgspec

from myownllm.coerce import as_object
from myownllm.runtimes.chat import ChatRequest, Delta, Finished, Thinking, ToolCall
from myownllm.runtimes.questions import OPTIONS
from myownllm.runtimes.readers import arguments_object

if TYPE_CHECKING:
    from collections.abc import Sequence

    from myownllm.coerce import JsonObject
    from myownllm.runtimes.chat import Piece

MESSAGES_MAX_BYTES: Final = 4 * 2**20
MESSAGES_MAX: Final = 4096
TOOLS_MAX: Final = 128
TOOLS_MAX_BYTES: Final = 2**20
CALLS_MAX: Final = 64
NAME_MAX: Final = 256
ROLES: Final = ("system", "user", "assistant", "tool")
_NORMAL: Final = ("stop", "tool_calls")
"""Reasons for an end that need no word."""


def _text(_: Any, attribute: attrs.Attribute[str], value: Any) -> None:
    if len(value) > NAME_MAX:
        raise ValueError(f"{attribute.name} is longer than {NAME_MAX} characters")


@attrs.frozen(kw_only=True)
class InferPayload:
    """A request as a peer sends it. Making one raises ValueError for what is out of bounds."""

    messages: list[dict[str, Any]] = attrs.field(repr=False)
    family: str = attrs.field(default="", validator=_text)
    mode: str = attrs.field(default="", validator=_text)
    model: str = attrs.field(default="", validator=_text)
    think: Any = None
    tools: list[dict[str, Any]] | None = attrs.field(default=None, repr=False)
    options: dict[str, Any] | None = None

    def __attrs_post_init__(self) -> None:
        check_messages(self.messages)
        if len(self.tools or ()) > TOOLS_MAX:
            raise ValueError(f"more than {TOOLS_MAX} tools")
        if len(msgspec.json.encode([self.tools, self.options, self.think])) > TOOLS_MAX_BYTES:
            raise ValueError(f"tools and options are longer than {TOOLS_MAX_BYTES} bytes")
        if self.think is not None and not isinstance(self.think, bool | str):
            raise ValueError("think is neither a boolean nor a word")

    def to_chat(self) -> ChatRequest:
        """The same question for a model server."""
        options = {k: v for k, v in (self.options or {}).items() if k in OPTIONS}
        return ChatRequest(tuple(self.messages), self.think, tuple(self.tools or ()), options)


def check_messages(messages: Sequence[JsonObject]) -> None:
    """Raises ValueError for messages that are none: their roles, the types of their members, their number and size."""
    if not messages:
        raise ValueError("no messages")
    if len(messages) > MESSAGES_MAX:
        raise ValueError(f"more than {MESSAGES_MAX} messages")
    for message in messages:
        _check_message(message)
    if len(msgspec.json.encode(messages)) > MESSAGES_MAX_BYTES:
        raise ValueError(f"the messages are longer than {MESSAGES_MAX_BYTES} bytes")


def _check_message(message: Any) -> None:
    if not isinstance(message, dict) or message.get("role") not in ROLES:
        raise ValueError(f"a message's role must be one of {', '.join(ROLES)}")
    if not isinstance(message.get("content"), str | None):
        raise ValueError("a message's content must be text")
    for name in ("name", "tool_call_id"):
        if not isinstance(message.get(name), str | None):
            raise ValueError(f"a message's {name} must be text")
    calls = message.get("tool_calls")
    if calls is None:
        return
    if not isinstance(calls, list) or len(calls) > CALLS_MAX:
        raise ValueError(f"tool_calls must be a list of at most {CALLS_MAX}")
    for call in calls:
        function = as_object(as_object(call).get("function"))
        if not isinstance(as_object(call).get("id"), str | None):
            raise ValueError("a function call's id must be text")
        if not isinstance(function.get("name"), str) or not isinstance(function.get("arguments"), dict | str | None):
            raise ValueError("a function call needs a name and arguments")


def to_payload(request: ChatRequest, *, family: str, mode: str, model: str) -> JsonObject:
    """A request for a peer."""
    payload: JsonObject = {"messages": list(request.messages), "family": family, "mode": mode}
    optional = {"think": request.think, "tools": list(request.tools), "options": request.options, "model": model}
    return payload | {k: v for k, v in optional.items() if v not in (None, [], {}, "")}


# ── chunks ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def to_chunks(pieces: Sequence[Piece]) -> list[JsonObject]:
    """What peers are told of an answer; token counts and a normal end are not."""
    chunks: list[JsonObject] = []
    for piece in pieces:
        match piece:
            case Delta(text):
                chunks.append({"delta": text})
            case Thinking(text):
                chunks.append({"thinking_delta": text})
            case ToolCall(name, arguments, _):
                chunks.append({"tool_call": {"function": {"name": name, "arguments": arguments}}})
            case Finished(reason) if reason not in _NORMAL:
                chunks.append({"finish_reason": reason})
    return chunks


def read_chunk(chunk: Any) -> Piece | None:
    """What a peer's chunk says; None for one that says nothing we know."""
    match chunk:
        case {"delta": str(text)}:
            return Delta(text)
        case {"thinking_delta": str(text)}:
            return Thinking(text)
        case {"tool_call": {"function": {"name": str(name), **rest}}} if 0 < len(name) <= NAME_MAX:
            arguments = rest.get("arguments")
            if isinstance(arguments, str):
                arguments = arguments_object(arguments)
            return ToolCall(name, arguments if isinstance(arguments, dict | str) else {})
        case {"finish_reason": str(reason)}:
            return Finished(reason[:NAME_MAX])
        case _:
            return None
