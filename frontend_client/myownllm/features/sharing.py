"""Conversations, prompts and policy of the running app, wired together: what peers get, and what commands ask for.

Commands reach it at the door of the app; each operation answers one JSON object. Files are named in requests, not sent.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import trio
from msgspec.structs import asdict

from myownllm.changes import change_conversations, change_policy, change_prompts, read_document
from myownllm.conversations.names import is_conversation_id
from myownllm.conversations.store import ConversationStore, NotHereError, conversation_root, selected
from myownllm.errors import AppError, PeerAwayError
from myownllm.features.conversations import Conversations
from myownllm.features.gossip import Gossip
from myownllm.features.releases import all_of
from myownllm.gossip.wire import TITLE_MAX_CHARS
from myownllm.payloads import structure
from myownllm.peers import CONNECTED, CatalogEntry
from myownllm.records import PolicyStore, PromptStore
from myownllm.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Callable

    from myownllm.catalog.file import CatalogFile
    from myownllm.catalog.live import LiveCatalog
    from myownllm.client import MeshClient, Operations
    from myownllm.client.registry import Release
    from myownllm.coerce import Json, JsonObject
    from myownllm.door.server import Door
    from myownllm.peers import PeerEntry


@attrs.frozen
class _AtPeer:
    """A request about one conversation and one peer, as a person types them."""

    peer: str
    conversation: str = ""
    path: str = ""
    """absolute, of the file that holds the conversation to save"""
    force: bool = False
    """save although somebody else has saved it since"""


class Sharing:
    """Made once per app."""

    def __init__(
        self,
        client: MeshClient,
        operations: Operations,
        file: CatalogFile,
        live: LiveCatalog,
        home: Path,
        now_ms: Callable[[], int],
    ) -> None:
        self._client, self._operations, self._home, self._now_ms = client, operations, home, now_ms
        self.policy, self.prompts = PolicyStore(file, now_ms), PromptStore(file, now_ms)
        self._store = ConversationStore(conversation_root(home, {}), now_ms)
        """the folder as it is configured now"""
        self.kept: Watch[int] = Watch(0)
        """grows whenever the conversations here are others than before"""
        live.on_sections.append(self._configure)
        self._gossip = Gossip(client, operations, self.policy, self.prompts, self._entries, now_ms)
        self._moves = Conversations(client, operations, lambda: self._store, self._kept_others)

    def install(self, door: Door) -> Release:
        """Tell peers, hear them, answer them; and answer commands."""
        for name, handler in (
            ("policy", self._change_policy),
            ("prompts", self._change_prompts),
            ("conversations", self._change_conversations),
            ("conversations_of_peers", self._of_peers),
            ("conversation_push", self._push),
            ("conversation_pull", self._pull),
            ("conversation_open", self._open),
            ("conversation_save", self._save),
        ):
            door.operation(name, handler)
        return all_of(self._gossip.install(), self._moves.install())

    # ── the folder ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _kept_others(self) -> None:
        self.kept.set(self.kept.value + 1)
        self._gossip.catalog_changed()

    def _configure(self, sections: JsonObject) -> None:
        root = conversation_root(self._home, sections)
        if root != self._store.root:
            self._store = ConversationStore(root, self._now_ms)
            self._kept_others()

    async def _entries(self) -> tuple[CatalogEntry, ...]:
        entries = await trio.to_thread.run_sync(self._store.entries)
        return tuple(CatalogEntry(e.id, e.title[:TITLE_MAX_CHARS], e.mode, e.updated_at, e.folder) for e in entries)

    # ── changes by a person ───────────────────────────────────────────────────────────────────────────────────────────

    async def _change_policy(self, request: JsonObject) -> Json:
        return await trio.to_thread.run_sync(change_policy, self.policy, request)

    async def _change_prompts(self, request: JsonObject) -> Json:
        return await trio.to_thread.run_sync(change_prompts, self.prompts, request)

    async def _change_conversations(self, request: JsonObject) -> Json:
        try:
            return await trio.to_thread.run_sync(change_conversations, self._store, request)
        finally:  # of several some may have been changed before one could not be
            self._kept_others()

    async def conversations(self) -> JsonObject:
        """Those of this device, newest first, and what is in the trash."""
        store = self._store
        entries = await trio.to_thread.run_sync(store.entries)
        trash = await trio.to_thread.run_sync(store.trashed)
        trashed = [{"id": e.id, "folder": e.folder, "trashed_at": e.trashed_at, "size": e.size} for e in trash]
        return {"conversations": [asdict(e) for e in entries], "trash": trashed}

    async def conversation(self, conversation_id: str) -> JsonObject:
        """The document of one of them. Raises ConversationError."""
        loaded = await trio.to_thread.run_sync(self._store.load, conversation_id)
        return loaded.document

    async def keep(self, document: JsonObject) -> JsonObject:
        """Save a conversation as it is on the screen of this device. Raises ConversationError."""
        entry = await trio.to_thread.run_sync(self._store.save, document)
        self._kept_others()
        return asdict(entry)

    # ── conversations of peers ────────────────────────────────────────────────────────────────────────────────────────

    async def _of_peers(self, _: JsonObject) -> Json:
        await trio.lowlevel.checkpoint()
        return {
            "peers": [
                {
                    "device_id": p.device_pubkey,
                    "label": p.label,
                    "conversations": [entry.to_json() for entry in p.catalog],
                }
                for p in self._client.state.peers
                if p.status in CONNECTED
            ]
        }

    async def _push(self, request: JsonObject) -> Json:
        asked = structure(_AtPeer, request)
        peer = await self._peer(asked.peer)
        guid = await trio.to_thread.run_sync(self._store.select, asked.conversation)
        return {**await self._moves.push(peer, guid), "peer": peer.device_pubkey, "label": peer.label}

    async def _pull(self, request: JsonObject) -> Json:
        asked = structure(_AtPeer, request)
        peer = await self._peer(asked.peer)
        moved = await self._moves.pull(peer, _of(peer, asked.conversation))
        return {**moved, "peer": peer.device_pubkey, "label": peer.label}

    async def _open(self, request: JsonObject) -> Json:
        asked = structure(_AtPeer, request)
        peer = await self._peer(asked.peer)
        return {"conversation": await self._moves.open_remote(peer, _of(peer, asked.conversation))}

    async def _save(self, request: JsonObject) -> Json:
        asked = structure(_AtPeer, request)
        peer = await self._peer(asked.peer)
        document = await trio.to_thread.run_sync(read_document, Path(asked.path))
        base = document.get("updated_at")
        await self.save_at(peer, document, base if isinstance(base, str) and not asked.force else None)
        return {"guid": document["id"], "peer": peer.device_pubkey, "label": peer.label}

    async def save_at(self, peer: PeerEntry, document: JsonObject, base: str | None) -> None:
        """Save a conversation where it is; with the time that it was changed last as `base`, only if it still is."""
        await self._moves.save_remote(peer, document, base)

    async def _peer(self, text: str) -> PeerEntry:
        """The connected device that a person means. Raises AppError."""
        peer = await self._operations.named(text)
        if peer.status not in CONNECTED:
            raise PeerAwayError(peer.display, peer.label)
        return peer


def _of(peer: PeerEntry, text: str) -> str:
    """A conversation of a peer, as it is named there; one that it has not told of may be named by its whole id."""
    told = [(entry.guid, entry.title) for entry in peer.catalog]
    try:
        return selected(told, text)
    except NotHereError:
        if is_conversation_id(text):
            return text
        raise AppError(f"{peer.label} has told of no conversation '{text}'; a new one is known in a moment") from None
