"""Conversations between devices: looked at where they are, pushed, pulled (spec 08 §9.7).

| method          | request                                  | answer                                  |
|-----------------|------------------------------------------|-----------------------------------------|
| `session_fetch` | `{"guid"}`                               | `{"conversation"}` or `{"error"}`       |
| `session_save`  | `{"conversation", "base_updated_at"?}`   | `{"ok": true}` or `{"ok": false, "error"}` |
| `move_take`     | `{"guid", "conversation", "source_folder"}` | `{"ok": true, "guid"}` or the same refusal |
| `move_drop`     | `{"guid"}`                               | `{"ok": true}` or the same refusal      |

A move is a copy that is kept, and only then a deletion: whatever ends it in between leaves two copies, never none.
"""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Final

import msgspec
import trio

from mesh_common.client.errors import ControlError
from myownllm.capabilities import supports
from myownllm.client import Method
from myownllm.client.work import Resource
from myownllm.coerce import as_object
from myownllm.conversations.document import MOVE_MAX_BYTES, ConversationError, checked
from myownllm.conversations.host import METHODS
from myownllm.conversations.trash import KEEP_MS
from myownllm.features.releases import all_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from myownllm.client import InboundCall, MeshClient, Operations
    from myownllm.client.registry import Release
    from myownllm.client.work import ResourceKind
    from myownllm.coerce import Json, JsonObject
    from myownllm.conversations.host import HostedMethod
    from myownllm.conversations.store import ConversationStore
    from myownllm.peers import PeerEntry

FEATURE_IDS: Final = ("move_request", "two_phase_move", "move_target_folder", "session_view_v1")
TRASH_LOOK_S: Final = 86_400.0
MOVING_TEXT: Final = "the conversation is being moved"


class Conversations:
    """Made once per app. `store` gives the folder as it is configured now; `changed` is told each change here."""

    def __init__(
        self,
        client: MeshClient,
        operations: Operations,
        store: Callable[[], ConversationStore],
        changed: Callable[[], None],
    ) -> None:
        self._client, self._operations = client, operations
        self._store, self._changed = store, changed
        self._moving: set[str] = set()
        self._numbers = count(1)

    def install(self) -> Release:
        """Answer peers, and keep the trash from growing."""
        serving = [
            self._client.serve(
                Method(
                    name,
                    answer=partial(self._answer, hosted),
                    request=hosted.request,
                    invalid=hosted.invalid,
                    timeout_s=hosted.limit_s,
                )
            )
            for name, hosted in METHODS.items()
        ]
        return all_of(*serving, self._client.add_features(*FEATURE_IDS), self._client.while_up(self._tidy))

    async def _answer(self, hosted: HostedMethod, call: InboundCall) -> Json:
        if hosted.changes and call.payload.guid in self._moving:
            return {"ok": False, "error": MOVING_TEXT}
        store = self._store()
        with self._shown(call):
            answer = await trio.to_thread.run_sync(hosted.answer, store, call.payload, call.peer.device_pubkey)
        if hosted.changes and answer.get("ok") is True:
            self._changed()
        return answer

    def _shown(self, call: InboundCall) -> AbstractContextManager[object]:
        """A conversation that a peer moves here is work under way."""
        if call.method != "move_take":
            return nullcontext()
        peer, guid = call.peer, call.payload.guid
        number = next(self._numbers)
        entry = Resource(f"take-{number}", peer.device_pubkey, peer.label, kind="inbound_moves", guid=guid[:64])
        return self._client.work.begin(entry)

    async def _tidy(self, _: object) -> None:
        """What has been in the trash for thirty days is deleted, at the start and once a day."""
        while True:
            store = self._store()
            try:
                await trio.to_thread.run_sync(partial(store.empty_trash, older_than_ms=KEEP_MS))
            except ConversationError as error:
                self._client.note("warn", str(error))
            await trio.sleep(TRASH_LOOK_S)

    # ── what a person asks for; everything raises AppError or ControlError ────────────────────────────────────────────

    async def open_remote(self, peer: PeerEntry, guid: str) -> JsonObject:
        """A conversation as it is on a peer; nothing of it is kept here."""
        _need(peer, "session_view_v1", "conversations cannot be opened from afar")
        return await self._fetch(peer, guid)

    async def save_remote(self, peer: PeerEntry, document: JsonObject, base_updated_at: str | None) -> None:
        """Save a conversation where it is; with a base only if nobody else has saved it since then."""
        _need(peer, "session_view_v1", "conversations cannot be opened from afar")
        checked(document)
        base = {} if base_updated_at is None else {"base_updated_at": base_updated_at}
        answer = await self._ask(peer, "session_save", {"conversation": document, **base})
        if answer.get("ok") is not True:
            raise ConversationError(f"host refused save: {_reason(answer)}")

    async def push(self, peer: PeerEntry, guid: str) -> JsonObject:
        """Move a conversation of this device to a peer, into the same folder."""
        _need(peer, "move_request", "conversations cannot be moved there")
        store = self._store()
        with self._moves(guid, peer, "outbound_moves"):
            if not await trio.to_thread.run_sync(store.has, guid):
                raise ConversationError("conversation not found locally")
            loaded = await trio.to_thread.run_sync(store.load, guid)
            if len(msgspec.json.encode(loaded.document)) > MOVE_MAX_BYTES:
                raise ConversationError("conversation too large to move")
            payload = {"guid": guid, "conversation": loaded.document, "source_folder": loaded.folder}
            answer = await self._ask(peer, "move_take", payload)
            if answer.get("ok") is not True:
                raise ConversationError(f"peer refused move: {_reason(answer)}")
            with trio.CancelScope(shield=True):  # it is there; now it leaves here
                await trio.to_thread.run_sync(partial(store.remove, guid, unless_changed_since=loaded))
            self._changed()
        return {"guid": guid, "folder": loaded.folder}

    async def pull(self, peer: PeerEntry, guid: str) -> JsonObject:
        """Move a conversation of a peer here. `warning` says when it has to be deleted there by hand."""
        _need(peer, "move_request", "conversations cannot be moved from there")
        store = self._store()
        with self._moves(guid, peer, "inbound_moves"):
            document = await self._fetch(peer, guid)
            entry = await trio.to_thread.run_sync(
                partial(store.save, document, folder_of(peer, guid), writer=peer.device_pubkey)
            )
            self._changed()
            moved = {"guid": guid, "folder": entry.folder}
            try:
                answer = await self._ask(peer, "move_drop", {"guid": guid})
                reason = "" if answer.get("ok") is True else _reason(answer)
            except ControlError as error:
                reason = str(error)
            return (
                {**moved, "warning": f"saved locally but couldn't ask source to delete: {reason}"} if reason else moved
            )

    async def _fetch(self, peer: PeerEntry, guid: str) -> JsonObject:
        answer = await self._ask(peer, "session_fetch", {"guid": guid})
        document = answer.get("conversation")
        if not isinstance(document, dict):
            raise ConversationError(_reason(answer) if "error" in answer else "host returned no conversation")
        _, data = checked(document)
        if document["id"] != guid:
            raise ConversationError("host returned another conversation")
        if len(data) > MOVE_MAX_BYTES:
            raise ConversationError("conversation too large to move")
        return document

    async def _ask(self, peer: PeerEntry, method: str, payload: JsonObject) -> JsonObject:
        return as_object(await self._operations.call(peer.device_pubkey, method, payload))

    @contextmanager
    def _moves(self, guid: str, peer: PeerEntry, kind: ResourceKind) -> Iterator[None]:
        """One move of a conversation at a time, and no peer changes it meanwhile (FE-9.31). A person may cancel it."""
        if guid in self._moving:
            raise ConversationError(MOVING_TEXT)
        self._moving.add(guid)
        entry = Resource(f"move-{guid}", peer.device_pubkey, peer.label, kind=kind, guid=guid)
        try:
            with trio.CancelScope() as scope, self._client.work.begin(entry, scope.cancel):
                yield
        finally:
            self._moving.discard(guid)
        if scope.cancelled_caught:
            raise ConversationError("the move was cancelled")


def folder_of(peer: PeerEntry, guid: str) -> str:
    """Where the peer has the conversation, as far as it has told."""
    return next((entry.path for entry in peer.catalog if entry.guid == guid), "")


def _need(peer: PeerEntry, feature: str, without: str) -> None:
    if not supports(peer.capabilities, feature):
        raise ConversationError(f"{peer.label} does not offer `{feature}`: {without}")


def _reason(answer: JsonObject) -> str:
    error = answer.get("error")
    text = "".join(c for c in error[:200] if c.isprintable()) if isinstance(error, str) else ""
    return text or "no reason given"
