"""What peers may ask of the conversations here: the four methods of spec 08 §9.7, as functions of store and request.

Blocking, like the store. A refusal is part of the answer; nothing else comes out of here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import attrs
import msgspec

from mesh_common.values import Value
from myownllm.conversations.document import (
    MOVE_MAX_BYTES,
    SAVE_MAX_BYTES,
    ConversationError,
    checked,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from myownllm.coerce import JsonObject
    from myownllm.conversations.store import ConversationStore


@attrs.frozen
class Fetch:
    guid: str


@attrs.frozen
class Save:
    conversation: dict[str, Any] = attrs.field(repr=False)
    base_updated_at: str | None = None

    @property
    def guid(self) -> str:
        """The conversation's own id; empty when it has none."""
        given = self.conversation.get("id")
        return given if isinstance(given, str) else ""


@attrs.frozen
class Take:
    guid: str
    conversation: dict[str, Any] = attrs.field(repr=False)
    source_folder: str | None = None


@attrs.frozen
class Drop:
    guid: str


def fetch(store: ConversationStore, request: Fetch, _: str) -> JsonObject:
    """The document, to look at it or to take it over."""
    try:
        document = store.load(request.guid).document
        _check_size(len(msgspec.json.encode(document)), MOVE_MAX_BYTES)
    except ConversationError as error:
        return {"error": str(error)}
    return {"conversation": document}


def save(store: ConversationStore, request: Save, peer: str) -> JsonObject:
    """Save a conversation that is here, on behalf of a device that has it open."""
    try:
        _, data = checked(request.conversation)
        _check_size(len(data), SAVE_MAX_BYTES)
        store.update(request.conversation, peer, base_updated_at=request.base_updated_at)
    except ConversationError as error:
        return {"ok": False, "error": str(error)}
    return {"ok": True}


def take(store: ConversationStore, request: Take, peer: str) -> JsonObject:
    """Keep a conversation that moves here."""
    try:
        _, data = checked(request.conversation)
        _check_size(len(data), MOVE_MAX_BYTES)
        if request.conversation["id"] != request.guid:
            raise ConversationError("guid mismatch")
        store.save(request.conversation, request.source_folder or "", writer=peer)
    except ConversationError as error:
        return {"ok": False, "error": str(error)}
    return {"ok": True, "guid": request.guid}


def drop(store: ConversationStore, request: Drop, _: str) -> JsonObject:
    """Put a conversation into the trash that has moved to the caller; an absent one is dropped already."""
    try:
        store.remove(request.guid)
    except ConversationError as error:
        return {"ok": False, "error": str(error)}
    return {"ok": True}


def _check_size(size: int, limit: int) -> None:
    if size > limit:
        raise ConversationError(f"conversation too large: {size} bytes, {limit} is the most")


class HostedMethod(Value, frozen=True):
    """One method: how its payload is read, and what answers."""

    request: type[Fetch | Save | Take | Drop]
    invalid: str
    """error for a payload that is no request"""
    answer: Callable[[ConversationStore, Any, str], JsonObject]
    """store, request, device id of the caller"""
    limit_s: float = 20.0
    changes: bool = True


METHODS: Final[dict[str, HostedMethod]] = {
    "session_fetch": HostedMethod(Fetch, "missing guid", fetch, changes=False),
    "session_save": HostedMethod(Save, "missing conversation", save),
    "move_take": HostedMethod(Take, "missing guid/conversation", take, limit_s=45.0),
    "move_drop": HostedMethod(Drop, "missing guid", drop),
}
