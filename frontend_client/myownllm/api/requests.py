"""OpenAI's requests, read into ours. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs

from myownllm.api.failures import ApiError
from myownllm.coerce import as_object
from myownllm.inference.request import InferPayload
from myownllm.payloads import PayloadError, structure
from myownllm.runtimes.questions import OPTIONS

if TYPE_CHECKING:
    from myownllm.coerce import Json, JsonObject
    from myownllm.runtimes.chat import ChatRequest

_ROLES: Final = {"developer": "system"}


@attrs.frozen
class Asked:
    """A request for an answer."""

    model: str
    chat: ChatRequest
    stream: bool
    usage: bool
    """a streamed answer ends with token counts"""


# ── requests ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def read_chat(body: Json) -> Asked:
    """The body of `/v1/chat/completions`. Raises ApiError."""
    raw = as_object(body)
    messages = raw.get("messages")
    if not isinstance(messages, list):
        raise invalid("`messages` must be a list")
    tools = None if raw.get("tool_choice") == "none" else raw.get("tools")
    return _asked(raw, [_message(m) for m in messages], tools)


def read_completion(body: Json) -> Asked:
    """The body of `/v1/completions`: the prompt is what a user says. Raises ApiError."""
    raw = as_object(body)
    prompt = raw.get("prompt")
    if isinstance(prompt, list) and len(prompt) == 1:
        prompt = prompt[0]
    if not isinstance(prompt, str):
        raise invalid("`prompt` must be one text")
    return _asked(raw, [{"role": "user", "content": prompt}], None)


def read_embedding(body: Json) -> tuple[str, JsonObject]:
    """Model and request members of `/v1/embeddings`. Raises ApiError."""
    raw = as_object(body)
    texts = raw.get("input")
    if not texts or not isinstance(texts, str | list):
        raise invalid("`input` must be a text or a list of texts")
    kept = {k: raw[k] for k in ("input", "dimensions", "encoding_format") if raw.get(k) is not None}
    return read_model(raw), kept


def read_model(body: Json) -> str:
    model = as_object(body).get("model")
    if not isinstance(model, str | None):
        raise invalid("`model` must be a text")
    return "" if model in (None, "default") else str(model)


def invalid(text: str) -> ApiError:
    return ApiError(400, "invalid_request", text)


def _asked(raw: JsonObject, messages: list[JsonObject], tools: Json) -> Asked:
    if raw.get("n") not in (None, 1):
        raise invalid("`n` must be 1: one request has one answer here")
    options = {k: raw[k] for k in OPTIONS if raw.get(k) is not None}
    longest = raw.get("max_completion_tokens")
    if longest is not None:
        options["max_tokens"] = longest
    members = {"messages": messages, "tools": tools or None, "think": raw.get("think"), "options": options}
    try:
        chat = structure(InferPayload, members).to_chat()
    except PayloadError as error:
        raise invalid(str(error).removeprefix("InferPayload: ")) from None
    wants_usage = as_object(raw.get("stream_options")).get("include_usage") is True
    return Asked(read_model(raw), chat, raw.get("stream") is True, wants_usage)


def _message(raw: Json) -> JsonObject:
    """A message whose content is one text; parts of a text are joined, other kinds of parts are refused."""
    message = dict(as_object(raw))
    content = message.get("content")
    if isinstance(content, list):
        parts = [as_object(p) for p in content]
        if any(not isinstance(p.get("text"), str) for p in parts):
            raise invalid("only text parts are supported in a message's content")
        message["content"] = "".join(p["text"] for p in parts)
    message["role"] = _ROLES.get(str(message.get("role")), message.get("role"))
    return {k: v for k, v in message.items() if v is not None}
