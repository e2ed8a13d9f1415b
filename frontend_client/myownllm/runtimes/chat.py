"""A question to a model and the pieces of its answer, the same for every kind of server. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from mesh_common.values import Value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from myownllm.coerce import JsonObject


@attrs.frozen
class ChatRequest:
    """Messages, tools and options; `messages` are those of an `infer` payload (spec 08 §9.4)."""

    messages: tuple[JsonObject, ...] = attrs.field(repr=False)
    think: bool | str | None = None
    tools: tuple[JsonObject, ...] = attrs.field(default=(), repr=False)
    options: JsonObject = attrs.field(factory=dict)
    """sampling options under their OpenAI names: `temperature`, `max_tokens`, …"""


class Delta(Value, frozen=True):
    """Words of the answer."""

    text: str


class Thinking(Value, frozen=True):
    """Words of the reasoning before it."""

    text: str


class ToolCall(Value, frozen=True):
    """The model wants a function called. `arguments` is an object, or the text that the model wrote instead of one."""

    name: str
    arguments: JsonObject | str
    id: str = ""


class Usage(Value, frozen=True):
    """Tokens read and written, as the server counts them."""

    prompt: int
    completion: int


class Finished(Value, frozen=True):
    """The answer is complete. `stop` is the normal reason; `length` means that it was cut off."""

    reason: str = "stop"


Piece = Delta | Thinking | ToolCall | Usage | Finished


def merged(pieces: Sequence[Piece]) -> list[Piece]:
    """The same answer in as few pieces as possible: neighbouring words are one piece."""
    joined: list[Piece] = []
    for piece in pieces:
        match joined[-1] if joined else None, piece:
            case (Delta(before), Delta(text)):
                joined[-1] = Delta(before + text)
            case (Thinking(before), Thinking(text)):
                joined[-1] = Thinking(before + text)
            case _:
                joined.append(piece)
    return joined


def size(pieces: Sequence[Piece]) -> int:
    """Characters of words in them, for whoever gathers up to a limit."""
    return sum(len(p.text) for p in pieces if isinstance(p, Delta | Thinking))
