"""OpenAI's JSON: requests read into ours, answers written from ours. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import attrs

from myownllm.api.failures import ApiError
from myownllm.coerce import as_object
from myownllm.inference.request import InferPayload
from myownllm.payloads import PayloadError, structure
from myownllm.runtimes.bodies import OPTIONS, function_text
from myownllm.runtimes.chat import Delta, Finished, Thinking, ToolCall, Usage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from myownllm.coerce import Json, JsonObject
    from myownllm.runtimes.chat import ChatRequest, Piece

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


# ── answers ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@attrs.define
class ChatAnswer:
    """One answer, in chunks or as a whole."""

    id: str
    model: str
    created: int
    calls: int = 0
    finish: str = "stop"
    usage: Usage | None = None
    text: str = ""
    thinking: str = ""
    called: list[JsonObject] = attrs.field(factory=list)

    def first(self) -> JsonObject:
        return self._chunk({"role": "assistant", "content": ""})

    def chunks(self, pieces: Sequence[Piece]) -> list[JsonObject]:
        """The chunks of these pieces."""
        made: list[JsonObject] = []
        for piece in pieces:
            match piece:
                case Delta(text):
                    made.append(self._chunk({"content": text}))
                case Thinking(text):
                    made.append(self._chunk({"reasoning_content": text}))
                case ToolCall():
                    made.append(self._chunk({"tool_calls": [self._call(piece)]}))
                case _:
                    self._note(piece)
        return made

    def last(self, *, usage: bool) -> list[JsonObject]:
        """How it ended, and what it cost if that was asked."""
        end = [self._chunk({}, self.finish)]
        if usage and self.usage is not None:
            end.append({**self._chunk({}), "choices": [], "usage": _usage(self.usage)})
        return end

    def gather(self, pieces: Sequence[Piece]) -> None:
        """Keep pieces for `whole`."""
        for piece in pieces:
            match piece:
                case Delta(text):
                    self.text += text
                case Thinking(text):
                    self.thinking += text
                case ToolCall():
                    call = self._call(piece)
                    del call["index"]
                    self.called.append(call)
                case _:
                    self._note(piece)

    def whole(self) -> JsonObject:
        """The answer as `chat.completion`."""
        message: JsonObject = {"role": "assistant", "content": self.text or (None if self.called else "")}
        if self.thinking:
            message["reasoning_content"] = self.thinking
        if self.called:
            message["tool_calls"] = self.called
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": self.finish}
        return self._object("chat.completion", choice) | self._counted()

    def whole_text(self) -> JsonObject:
        """The answer as `text_completion`."""
        choice = {"index": 0, "text": self.text, "logprobs": None, "finish_reason": self.finish}
        return self._object("text_completion", choice) | self._counted()

    def text_chunks(self, pieces: Sequence[Piece]) -> list[JsonObject]:
        """Chunks of a streamed `text_completion`."""
        self.gather(pieces)
        words = [p.text for p in pieces if isinstance(p, Delta)]
        return [self._text_chunk(text, None) for text in words]

    def last_text(self) -> JsonObject:
        return self._text_chunk("", self.finish)

    def _text_chunk(self, text: str, finish: str | None) -> JsonObject:
        choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": finish}
        return self._object("text_completion", choice)

    def _note(self, piece: Piece) -> None:
        match piece:
            case Usage():
                self.usage = piece
            case Finished(reason):
                self.finish = "tool_calls" if self.calls else reason

    def _call(self, call: ToolCall) -> JsonObject:
        number = self.calls
        self.calls += 1
        self.finish = "tool_calls"
        call_id = call.id or f"call_{self.id.rpartition('-')[2][:12]}_{number}"
        function = function_text({"name": call.name, "arguments": call.arguments})
        return {"index": number, "id": call_id, "type": "function", "function": function}

    def _chunk(self, delta: JsonObject, finish: str | None = None) -> JsonObject:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return self._object("chat.completion.chunk", choice)

    def _object(self, kind: str, choice: JsonObject) -> JsonObject:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model, "choices": [choice]}

    def _counted(self) -> JsonObject:
        return {} if self.usage is None else {"usage": _usage(self.usage)}


def _usage(usage: Usage) -> dict[str, Any]:
    prompt, completion = usage.prompt, usage.completion
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def model_entry(name: str, owner: str, **ours: Json) -> JsonObject:
    """An entry of `/v1/models`; what only we know stands in `myownllm`."""
    return {"id": name, "object": "model", "created": 0, "owned_by": owner, "myownllm": ours}
