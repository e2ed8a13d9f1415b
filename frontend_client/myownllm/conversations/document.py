"""A conversation as a document: one JSON object, whose folder is not part of it (spec 08 §9.7). Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import msgspec

from myownllm.coerce import nests_deeper
from myownllm.conversations.names import is_conversation_id
from myownllm.errors import AppError

if TYPE_CHECKING:
    from myownllm.coerce import Json, JsonObject

SAVE_MAX_BYTES: Final = 8 * 2**20
"""Of a document that a peer saves (FE-9.30)."""
MOVE_MAX_BYTES: Final = 12 * 2**20
"""Of a document that moves (FE-9.32)."""
DEPTH_MAX: Final = 64
"""Levels of lists and objects; real ones have six."""
TITLE_MAX_CHARS: Final = 2000
MODES: Final = ("text", "transcribe")
NOT_HERE: Final = "conversation not found on host"


class ConversationError(AppError):
    """Something that cannot be done with a conversation; peers read the text, too."""


class Head(msgspec.Struct):
    """What a list shows; the rest of a document is not even built."""

    id: str = ""
    title: str = ""
    mode: str = "text"
    updated_at: str = ""
    created_at: str = ""


def checked(document: Json) -> tuple[JsonObject, bytes]:
    """A document that may be kept, and its bytes. Raises ConversationError."""
    if not isinstance(document, dict):
        raise ConversationError("invalid conversation")
    if not isinstance(document.get("id"), str) or not is_conversation_id(document["id"]):
        raise ConversationError("invalid conversation id")
    if nests_deeper(document, DEPTH_MAX):
        raise ConversationError("invalid conversation: too deep")
    texts = ("title", "mode", "model", "family", "created_at", "updated_at")
    wrong = [name for name in texts if name in document and not isinstance(document[name], str | None)]
    if wrong:
        raise ConversationError(f"invalid conversation: {wrong[0]} is no text")
    if len(document.get("title") or "") > TITLE_MAX_CHARS:
        raise ConversationError("invalid conversation: the title is too long")
    if (document.get("mode") or "text") not in MODES:
        raise ConversationError("invalid conversation: unknown mode")
    messages = document.get("messages", [])
    if not isinstance(messages, list) or not all(isinstance(m, dict) for m in messages):
        raise ConversationError("invalid conversation: messages is no list of objects")
    try:
        return document, msgspec.json.encode(document)
    except (UnicodeEncodeError, OverflowError, TypeError):
        raise ConversationError("invalid conversation: not JSON") from None


def iso(now_ms: int) -> str:
    """A moment as conversations write it: ISO 8601 with milliseconds, UTC."""
    moment = datetime.fromtimestamp(now_ms // 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{now_ms % 1000:03d}Z"


def fresh(conversation_id: str, title: str, now_ms: int) -> JsonObject:
    """A new conversation in which nothing was said."""
    return {
        "id": conversation_id,
        "title": title,
        "mode": "text",
        "model": "",
        "family": "",
        "created_at": iso(now_ms),
        "updated_at": iso(now_ms),
        "messages": [],
    }
