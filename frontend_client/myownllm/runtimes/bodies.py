"""Questions in the words of each kind of model server, and the model lists they give (spec 08 FE-9.48). Pure."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, TypeGuard

from msgspec.structs import replace

from mesh_common.values import Value
from myownllm.coerce import as_object, strings, tolerant
from myownllm.runtimes.readers import arguments_object
from myownllm.runtimes.told import OllamaShown, OllamaTag, OllamaTags, OpenAiMeta, OpenAiModel, OpenAiModels, each

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from myownllm.coerce import Json, JsonObject
    from myownllm.runtimes.chat import ChatRequest

MODELS_MAX: Final = 512
"""Models of one server; more are not listed."""
TAG_MAX_CHARS: Final = 256
_OLLAMA_OPTIONS: Final = {
    "temperature": "temperature", "top_p": "top_p", "top_k": "top_k", "seed": "seed", "stop": "stop",
    "max_tokens": "num_predict", "presence_penalty": "presence_penalty", "frequency_penalty": "frequency_penalty",
}  # fmt: skip
OPTIONS: Final = (*_OLLAMA_OPTIONS, "response_format", "tool_choice", "parallel_tool_calls")
"""What of a request's options is handed on, under its OpenAI name."""


class Model(Value, frozen=True):
    """A model that is present. `family` and `mode` are the labels that peers choose by."""

    tag: str
    family: str = ""
    mode: str = ""
    context_length: int | None = None
    chats: bool = True
    """False for a model that only makes embeddings"""

    def to_llm(self) -> JsonObject:
        """Its entry in the capabilities (spec 08 §9.3)."""
        entry: JsonObject = {"tag": self.tag, "family": self.family, "mode": self.mode}
        return entry if self.context_length is None else {**entry, "context_length": self.context_length}


# ── questions ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def ollama_chat(tag: str, request: ChatRequest, keep_alive: str | None) -> JsonObject:
    """The body of `/api/chat`."""
    body: JsonObject = {"model": tag, "messages": _ollama_messages(request.messages), "stream": True}
    options = {_OLLAMA_OPTIONS[k]: v for k, v in request.options.items() if k in _OLLAMA_OPTIONS and v is not None}
    if isinstance(options.get("stop"), str):
        options["stop"] = [options["stop"]]
    wanted = as_object(request.options.get("response_format"))
    if wanted.get("type") == "json_object":
        body["format"] = "json"
    elif wanted.get("type") == "json_schema":
        body["format"] = as_object(wanted.get("json_schema")).get("schema")
    for name, value in (("options", options), ("tools", list(request.tools)), ("keep_alive", keep_alive)):
        if value:
            body[name] = value
    if request.think is not None:
        body["think"] = request.think
    return body


def openai_chat(tag: str, request: ChatRequest) -> JsonObject:
    """The body of `/chat/completions`."""
    body: JsonObject = {"model": tag, "messages": _openai_messages(request.messages), "stream": True}
    body |= {k: v for k, v in request.options.items() if k in OPTIONS and v is not None}
    if request.tools:
        body["tools"] = list(request.tools)
    body["stream_options"] = {"include_usage": True}
    return body


def _ollama_messages(messages: Iterable[JsonObject]) -> list[JsonObject]:
    """Ollama wants arguments as objects and the function's name beside its result."""
    out: list[JsonObject] = []
    names: dict[str, str] = {}
    for message in _with_ids(messages):
        plain: JsonObject = {"role": message["role"], "content": message.get("content") or ""}
        if calls := message.get("tool_calls"):
            plain["tool_calls"] = [{"function": _with_object(c["function"])} for c in calls]
            names |= {c["id"]: str(c["function"].get("name")) for c in calls}
        if message["role"] == "tool":
            name = message.get("name") or names.get(message["tool_call_id"])
            if name:
                plain["tool_name"] = name
        out.append(plain)
    return out


def _with_object(function: JsonObject) -> JsonObject:
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        read = arguments_object(arguments)
        arguments = read if isinstance(read, dict) else {"arguments": read}
    return {"name": function.get("name"), "arguments": arguments or {}}


def _openai_messages(messages: Iterable[JsonObject]) -> list[JsonObject]:
    """OpenAI wants arguments as a text."""
    out: list[JsonObject] = []
    for message in _with_ids(messages):
        plain: JsonObject = {"role": message["role"], "content": message.get("content") or ""}
        plain |= {k: message[k] for k in ("name", "tool_call_id") if message.get(k)}
        if calls := message.get("tool_calls"):
            plain["tool_calls"] = [
                {"id": c["id"], "type": "function", "function": function_text(c["function"])} for c in calls
            ]
        out.append(plain)
    return out


def _with_ids(messages: Iterable[JsonObject]) -> Iterator[JsonObject]:
    """Each call and its result get the same id: calls without one are numbered, results without one follow in order."""
    waiting: list[str] = []
    made = 0
    for message in messages:
        calls: list[JsonObject] = []
        for raw in message.get("tool_calls") or ():
            made += 1
            calls.append({"id": raw.get("id") or f"call_{made}", "function": as_object(raw.get("function"))})
        waiting += [c["id"] for c in calls]
        numbered = {**message, "tool_calls": calls}
        if message["role"] == "tool":
            call_id = message.get("tool_call_id") or (waiting[0] if waiting else "call_0")
            numbered["tool_call_id"] = call_id
            if call_id in waiting:
                waiting.remove(call_id)
        yield numbered


def function_text(function: JsonObject) -> JsonObject:
    """A function call as OpenAI writes it: its arguments are a text."""
    arguments = function.get("arguments")
    text = arguments if isinstance(arguments, str) else json.dumps(arguments or {}, ensure_ascii=False)
    return {"name": function.get("name"), "arguments": text}


# ── what is there ─────────────────────────────────────────────────────────────────────────────────────────────────────


def ollama_tags(raw: Json) -> dict[str, str]:
    """Tag to digest, from `/api/tags`; a digest that changed means another model under the same tag."""
    entries = each(OllamaTag, tolerant(OllamaTags, raw).models, MODELS_MAX)
    return {tag: str(m.digest) for m in entries if _is_tag(tag := m.model or m.name)}


def ollama_model(tag: str, shown: Json) -> Model:
    """A model with what `/api/show` tells about it."""
    facts = tolerant(OllamaShown, shown)
    length = facts.model_info.get(f"{facts.model_info.get('general.architecture')}.context_length")
    can = strings(facts.capabilities)
    return _labelled(tag, length, chats=not can or "completion" in can)


def openai_models(raw: Json) -> tuple[Model, ...]:
    """The models in an answer of `/models`."""
    entries = each(OpenAiModel, tolerant(OpenAiModels, raw).data, MODELS_MAX)
    found = [_labelled(m.id, tolerant(OpenAiMeta, m.meta).n_ctx_train, chats=True) for m in entries if _is_tag(m.id)]
    return tuple({m.tag: m for m in found}.values())


def _is_tag(value: str | None) -> TypeGuard[str]:
    return value is not None and 0 < len(value) <= TAG_MAX_CHARS and value.isprintable()


def _labelled(tag: str, context_length: Json, *, chats: bool) -> Model:
    """Labels follow from the name: `gemma4:e4b` is of the family `gemma4` and for text."""
    is_length = isinstance(context_length, int) and not isinstance(context_length, bool) and context_length > 0
    length = context_length if is_length else None
    return Model(tag, tag.rpartition("/")[2].partition(":")[0], "text", length, chats)


def relabelled(found: Sequence[Model], saved: Sequence[Model]) -> tuple[Model, ...]:
    """The models of a server with the labels that the configuration gives; those only it names come last."""
    chosen = {m.tag: m for m in saved}
    kept = [
        replace(m, **{n: getattr(s, n) or getattr(m, n) for n in ("family", "mode", "context_length")})
        if (s := chosen.get(m.tag))
        else m
        for m in found
    ]
    present = {m.tag for m in found}
    return (*kept, *(m for m in saved if m.tag not in present))
