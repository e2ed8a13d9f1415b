"""Questions in the words of each kind of model server (spec 08 FE-9.48). Pure."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, Literal

from msgspec import Struct

from mesh_common.values import Value
from myownllm.coerce import as_object, tolerant
from myownllm.runtimes.readers import arguments_object
from myownllm.runtimes.told import Call, Function, each

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from myownllm.coerce import Json, JsonObject
    from myownllm.runtimes.chat import ChatRequest

_OLLAMA_OPTIONS: Final = {
    "temperature": "temperature", "top_p": "top_p", "top_k": "top_k", "seed": "seed", "stop": "stop",
    "max_tokens": "num_predict", "presence_penalty": "presence_penalty", "frequency_penalty": "frequency_penalty",
}  # fmt: skip
OPTIONS: Final = (*_OLLAMA_OPTIONS, "response_format", "tool_choice", "parallel_tool_calls")
"""What of a request's options is handed on, under its OpenAI name."""


# ── what was said so far ──────────────────────────────────────────────────────────────────────────────────────────────


class Message(Struct, frozen=True):
    """What is read of a message of a request."""

    role: str
    content: str | None = None
    name: str | None = None
    tool_call_id: str | None = None
    tool_calls: tuple[Any, ...] | None = None


class NumberedCall(Value, frozen=True):
    """A function call that has an id."""

    id: str
    name: str | None
    arguments: Json
    """An object, or a text that ought to hold one."""

    @property
    def text(self) -> str:
        """The arguments as OpenAI writes them."""
        return arguments_text(self.arguments)

    @property
    def members(self) -> JsonObject:
        """The arguments as Ollama wants them."""
        if not isinstance(self.arguments, str):
            return self.arguments or {}
        read = arguments_object(self.arguments)
        return read if isinstance(read, dict) else {"arguments": read}


class Turn(Value, frozen=True):
    """A message with its calls."""

    said: Message
    calls: tuple[NumberedCall, ...]
    answers: str
    """The id of the call whose result this is; empty for what is none."""


def arguments_text(arguments: Json) -> str:
    """The arguments of a call as OpenAI writes them: a text."""
    return arguments if isinstance(arguments, str) else json.dumps(arguments or {}, ensure_ascii=False)


def _turns(messages: Iterable[JsonObject]) -> Iterator[Turn]:
    """Each call and its result get the same id: calls without one are numbered, results without one follow in order."""
    waiting: list[str] = []
    made = 0
    for raw in messages:
        message = tolerant(Message, raw, role="")
        calls: list[NumberedCall] = []
        for call in each(Call, message.tool_calls):
            made += 1
            function = tolerant(Function, call.function)
            calls.append(NumberedCall(call.id or f"call_{made}", function.name, function.arguments))
        waiting += [call.id for call in calls]
        answers = ""
        if message.role == "tool":
            answers = message.tool_call_id or (waiting[0] if waiting else "call_0")
            if answers in waiting:
                waiting.remove(answers)
        yield Turn(message, tuple(calls), answers)


# ── in Ollama's words ─────────────────────────────────────────────────────────────────────────────────────────────────


class OllamaFunction(Struct, frozen=True):
    name: str | None
    arguments: dict[str, Any]


class OllamaCall(Struct, frozen=True):
    function: OllamaFunction


class OllamaSaid(Struct, frozen=True, omit_defaults=True):
    role: str
    content: str
    tool_calls: tuple[OllamaCall, ...] = ()
    tool_name: str | None = None
    """Whose result it is."""


class OllamaChat(Struct, frozen=True, omit_defaults=True):
    """The body of `/api/chat`."""

    model: str
    messages: tuple[OllamaSaid, ...]
    stream: bool
    format: Any = None
    """`json`, or a schema."""
    options: dict[str, Any] = {}
    tools: tuple[Any, ...] = ()
    keep_alive: str | None = None
    think: bool | str | None = None


def ollama_chat(tag: str, request: ChatRequest, keep_alive: str | None) -> OllamaChat:
    options = {_OLLAMA_OPTIONS[k]: v for k, v in request.options.items() if k in _OLLAMA_OPTIONS and v is not None}
    if isinstance(options.get("stop"), str):
        options["stop"] = [options["stop"]]
    wanted, form = as_object(request.options.get("response_format")), None
    if wanted.get("type") == "json_object":
        form = "json"
    elif wanted.get("type") == "json_schema":
        form = as_object(wanted.get("json_schema")).get("schema")
    said = tuple(_ollama_said(request.messages))
    return OllamaChat(tag, said, True, form, options, request.tools, keep_alive or None, request.think)


def _ollama_said(messages: Iterable[JsonObject]) -> Iterator[OllamaSaid]:
    """Ollama wants arguments as objects and the function's name beside its result."""
    names: dict[str, str] = {}
    for turn in _turns(messages):
        names |= {call.id: str(call.name) for call in turn.calls}
        calls = tuple(OllamaCall(OllamaFunction(call.name, call.members)) for call in turn.calls)
        name = (turn.said.name or names.get(turn.answers) or None) if turn.answers else None
        yield OllamaSaid(turn.said.role, turn.said.content or "", calls, name)


# ── in OpenAI's words ─────────────────────────────────────────────────────────────────────────────────────────────────


class FunctionText(Struct, frozen=True):
    """What is called; the arguments are a text."""

    name: str | None
    arguments: str


class OpenAiCall(Struct, frozen=True):
    id: str
    type: Literal["function"]
    function: FunctionText


class OpenAiSaid(Struct, frozen=True, omit_defaults=True):
    role: str
    content: str
    name: str | None = None
    tool_call_id: str | None = None
    tool_calls: tuple[OpenAiCall, ...] = ()


class StreamOptions(Struct, frozen=True):
    include_usage: bool


class OpenAiChat(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The body of `/chat/completions`. Options that are None are left out."""

    model: str
    messages: tuple[OpenAiSaid, ...]
    stream: bool
    temperature: Any = None
    top_p: Any = None
    top_k: Any = None
    seed: Any = None
    stop: Any = None
    max_tokens: Any = None
    presence_penalty: Any = None
    frequency_penalty: Any = None
    response_format: Any = None
    tool_choice: Any = None
    parallel_tool_calls: Any = None
    tools: tuple[Any, ...] = ()
    stream_options: StreamOptions


def openai_chat(tag: str, request: ChatRequest) -> OpenAiChat:
    return OpenAiChat(
        model=tag,
        messages=tuple(_openai_said(request.messages)),
        stream=True,
        tools=request.tools,
        stream_options=StreamOptions(include_usage=True),
        **{name: value for name, value in request.options.items() if name in OPTIONS},
    )


def _openai_said(messages: Iterable[JsonObject]) -> Iterator[OpenAiSaid]:
    """OpenAI wants arguments as a text."""
    for turn in _turns(messages):
        calls = tuple(OpenAiCall(call.id, "function", FunctionText(call.name, call.text)) for call in turn.calls)
        said = turn.said
        # What answers no call keeps the id that it came with.
        yield OpenAiSaid(said.role, said.content or "", said.name or None, turn.answers or said.tool_call_id, calls)
