"""Conversations move between devices: whatever goes wrong in between leaves two copies, never none."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import pytest
import trio

from mesh_common.client.session import open_session
from myownllm.catalog.model import Catalog
from myownllm.catalog.network import SavedNetwork
from myownllm.client import MeshClient, Offer, Operations
from myownllm.client.owned import OwnedNetworks
from myownllm.conversations.document import ConversationError
from myownllm.conversations.store import ConversationStore
from myownllm.errors import FAILURES
from myownllm.features.conversations import Conversations
from myownllm.peers import CatalogEntry
from myownllm.supervisor import Connection
from unit.frontend.fakes import DEVICE_B, FakeDaemon, Refusal, peer_info

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from myownllm.peers import PeerEntry

FEATURES = ["move_request", "session_view_v1"]
ADVERT = {"tags": [], "app_version": None, "max_connections": None, "extra": {"features": FEATURES}}


@attrs.define
class Desk:
    daemon: FakeDaemon
    client: MeshClient
    store: ConversationStore
    moves: Conversations
    release: Callable[[], None]
    changes: list[str]
    calls: int = 0

    @property
    def peer(self) -> PeerEntry:
        peer = self.client.state.peer(DEVICE_B)
        assert peer is not None
        return peer

    @property
    def here(self) -> list[str]:
        return [e.id for e in self.store.entries()]

    def answers(self, **by_method: Any) -> list[Any]:
        """What the peer answers, by method; returns the calls that it gets."""
        calls: list[Any] = []

        def answer(request: dict[str, Any]) -> Any:
            calls.append((request["method"], request["payload"]))
            said = by_method[request["method"]]
            if isinstance(said, str):
                raise Refusal(said)
            return {"response": said(request["payload"]) if callable(said) else said}

        self.daemon.answer["rpc_call"] = answer
        return calls

    async def push_and_be_cancelled(self) -> None:
        with pytest.raises(ConversationError, match="the move was cancelled"):
            await self.moves.push(self.peer, "m1-abc")

    async def called(self, method: str, payload: Any) -> Any:
        """The peer calls; what it gets."""
        self.calls += 1  # under the number of a call that is still being put away it would count as told twice
        request = f"r{self.calls}"
        await self.daemon.emit(
            {
                "kind": "rpc_inbound",
                "network": "home",
                "method": method,
                "from": DEVICE_B,
                "request_id": request,
                "streaming": False,
                "payload": payload,
            }
        )
        with trio.fail_after(60):  # real time, on machines that are shared
            while not (
                answers := [r for r in self.daemon.log if r["op"] == "rpc_respond" and r["request_id"] == request]
            ):
                await trio.sleep(0.01)
        return answers[0].get("ok", answers[0].get("error"))


@asynccontextmanager
async def desk(tmp_path: Path, **peer: Any) -> AsyncIterator[Desk]:
    daemon = FakeDaemon()
    daemon.peers = [peer_info(**{"capabilities": ADVERT, **peer})]
    network = SavedNetwork("net-1", "home")

    class Saved:
        async def load(self) -> Catalog:
            await trio.lowlevel.checkpoint()
            return Catalog(networks=(network,), active_network_id="net-1")

    client = MeshClient(Saved(), OwnedNetworks(tmp_path / "owned.json"), Offer(), now_ms=lambda: 1)
    store = ConversationStore(tmp_path / "conversations", lambda: 1_780_000_000_000)
    changes: list[str] = []
    moves = Conversations(client, Operations(client), lambda: store, lambda: changes.append("changed"))
    async with trio.open_nursery() as nursery:
        daemon.nursery = nursery
        await nursery.start(client.run)
        made = Desk(daemon, client, store, moves, moves.install(), changes)

        async def hold() -> None:
            connection = Connection(1, "own_llm", Path("daemon.sock"), False, "0.3.8", "me", None)
            async with open_session(connection.socket, 1, connect=daemon.connect) as bridge:
                client.connected(bridge, connection)
                await bridge.lost.wait()

        nursery.start_soon(hold)
        await client.start()
        yield made
        nursery.cancel_scope.cancel()


def document(conversation_id: str = "m1-abc", **members: Any) -> dict[str, Any]:
    return {"id": conversation_id, "title": "t", "messages": [], **members}


# ── push ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_push_hands_over_and_then_deletes(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        at.store.save(document(), "Work/Q4")

        def take(payload: Any) -> Any:
            assert at.here == ["m1-abc"], "it is still here"
            return {"ok": True, "guid": payload["guid"]}

        calls = at.answers(move_take=take)
        assert await at.moves.push(at.peer, "m1-abc") == {"guid": "m1-abc", "folder": "Work/Q4"}
        ((method, payload),) = calls
        assert (method, payload["guid"], payload["source_folder"]) == ("move_take", "m1-abc", "Work/Q4")
        assert payload["conversation"]["title"] == "t"
        assert at.here == []
        assert [t.id for t in at.store.trashed()] == ["m1-abc"]
        assert at.changes == ["changed"]


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"ok": False, "error": "no \x1b[2Jspace\u202e left"}, r"peer refused move: no \[2Jspace left"),
        ({"ok": "yes"}, "peer refused move: no reason given"),
        ([], "peer refused move"),
        ("network down", "the link to .+ went down"),
    ],
)
async def test_a_push_that_is_not_taken_deletes_nothing(tmp_path: Path, said: Any, why: str) -> None:
    async with desk(tmp_path) as at:
        at.store.save(document())
        at.answers(move_take=said)
        with pytest.raises(FAILURES, match=why):
            await at.moves.push(at.peer, "m1-abc")
        assert at.here == ["m1-abc"]
        assert at.changes == []


async def test_a_push_that_is_cut_off_before_the_answer_deletes_nothing(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        at.store.save(document())
        at.daemon.hang.add("rpc_call")
        with trio.move_on_after(0.2):
            await at.moves.push(at.peer, "m1-abc")
        assert at.here == ["m1-abc"]
        at.daemon.hang.clear()
        at.answers(move_take={"ok": True})
        await at.moves.push(at.peer, "m1-abc")
        assert at.here == [], "it can be moved again"


async def test_what_changed_while_it_moved_stays(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        at.store.save(document())

        def take(_: Any) -> Any:
            at.store.save(document(title="changed meanwhile"))
            return {"ok": True}

        at.answers(move_take=take)
        with pytest.raises(ConversationError, match="kept here too"):
            await at.moves.push(at.peer, "m1-abc")
        assert at.store.entry("m1-abc").title == "changed meanwhile"


async def test_what_cannot_be_pushed(tmp_path: Path) -> None:
    """FE-9.32"""
    async with desk(tmp_path) as at:
        calls = at.answers()
        with pytest.raises(ConversationError, match="conversation not found locally"):
            await at.moves.push(at.peer, "m1-abc")
        at.store.save(document(messages=[{"role": "user", "content": "x" * (12 * 2**20)}]))
        with pytest.raises(ConversationError, match="conversation too large to move"):
            await at.moves.push(at.peer, "m1-abc")
        assert calls == []
    bare = {**ADVERT, "extra": {"features": ["infer_request"]}}
    async with desk(tmp_path, capabilities=bare) as at:
        for attempt in (at.moves.push, at.moves.pull, at.moves.open_remote):
            with pytest.raises(ConversationError, match="Pi does not offer `"):
                await attempt(at.peer, "m1-abc")


# ── pull ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_pull_saves_and_then_asks_for_deletion(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        at.client.catalog_heard(DEVICE_B, (CatalogEntry("m1-abc", path="Work/Q4"),))

        def drop(payload: Any) -> Any:
            assert at.here == ["m1-abc"], "it is here before it goes there"
            return {"ok": True}

        calls = at.answers(session_fetch={"conversation": document()}, move_drop=drop)
        assert await at.moves.pull(at.peer, "m1-abc") == {"guid": "m1-abc", "folder": "Work/Q4"}
        assert [method for method, _ in calls] == ["session_fetch", "move_drop"]


@pytest.mark.parametrize("said", [{"ok": False, "error": "trash is full"}, None, "network down"])
async def test_a_source_that_keeps_its_copy_is_a_warning(tmp_path: Path, said: Any) -> None:
    async with desk(tmp_path) as at:
        at.answers(session_fetch={"conversation": document()}, move_drop=said)
        moved = await at.moves.pull(at.peer, "m1-abc")
        assert moved["warning"].startswith("saved locally but couldn't ask source to delete: ")
        assert at.here == ["m1-abc"]


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"error": "conversation not found on host"}, "conversation not found on host"),
        ({"conversation": None}, "host returned no conversation"),
        ([], "host returned no conversation"),
        ({"conversation": document("m2-x")}, "host returned another conversation"),
        ({"conversation": document("../config")}, "invalid conversation id"),
        ({"conversation": document(messages="x")}, "invalid conversation"),
    ],
)
async def test_a_source_that_gives_something_else_changes_nothing(tmp_path: Path, said: Any, why: str) -> None:
    async with desk(tmp_path) as at:
        calls = at.answers(session_fetch=said)
        with pytest.raises(ConversationError, match=why):
            await at.moves.pull(at.peer, "m1-abc")
        assert at.here == []
        assert len(calls) == 1, "nothing is deleted there"


# ── open ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_remote_conversation_is_looked_at_and_saved_where_it_is(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        calls = at.answers(session_fetch={"conversation": document(updated_at="2026")}, session_save={"ok": True})
        opened = await at.moves.open_remote(at.peer, "m1-abc")
        await at.moves.save_remote(at.peer, {**opened, "title": "new"}, opened["updated_at"])
        assert calls[-1] == ("session_save", {"conversation": {**opened, "title": "new"}, "base_updated_at": "2026"})
        assert at.here == [], "nothing of it is kept here"
        at.answers(session_save={"ok": False, "error": "conflict"})
        with pytest.raises(ConversationError, match="host refused save: conflict"):
            await at.moves.save_remote(at.peer, opened, None)


# ── peers that call ───────────────────────────────────────────────────────────────────────────────────────────────────


async def test_peers_are_answered_and_changes_are_told(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        assert await at.called("session_fetch", {}) == "missing guid"
        taken = await at.called("move_take", {"guid": "m1-abc", "conversation": document(), "source_folder": "Work"})
        assert taken == {"ok": True, "guid": "m1-abc"}
        assert at.changes == ["changed"]
        assert (await at.called("session_fetch", {"guid": "m1-abc"}))["conversation"]["title"] == "t"
        assert at.changes == ["changed"]
        assert await at.called("move_drop", {"guid": "m1-abc"}) == {"ok": True}
        assert at.here == []


async def test_no_peer_changes_what_is_being_moved(tmp_path: Path) -> None:
    """FE-9.31"""
    async with desk(tmp_path) as at:
        at.store.save(document())
        at.daemon.hang.add("rpc_call")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(at.push_and_be_cancelled)
            while "rpc_call" not in at.daemon.ops():
                await trio.sleep(0.01)
            (shown,) = at.client.work.resources
            assert (shown.kind, shown.guid, shown.peer_label) == ("outbound_moves", "m1-abc", "Pi")
            refused = {"ok": False, "error": "the conversation is being moved"}
            assert await at.called("move_drop", {"guid": "m1-abc"}) == refused
            assert await at.called("session_save", {"conversation": document()}) == refused
            with pytest.raises(ConversationError, match="is being moved"):
                await at.moves.push(at.peer, "m1-abc")
            assert at.client.work.cancel("move-m1-abc")
        assert at.here == ["m1-abc"]
        assert at.client.work.resources == ()
        assert await at.called("move_drop", {"guid": "m1-abc"}) == {"ok": True}


async def test_the_trash_is_tidied_at_the_start(tmp_path: Path) -> None:
    old = tmp_path / "conversations" / ".trash" / "1000-00000000"
    old.mkdir(parents=True)
    (old / "m1-abc.json").write_text('{"id": "m1-abc"}')
    async with desk(tmp_path) as at:
        with trio.fail_after(60):  # real time, on machines that are shared
            while old.exists():
                await trio.sleep(0.01)
        at.release()


def _nested(levels: int) -> Any:
    value: Any = {}
    for _ in range(levels):
        value = {"x": value}
    return value


NASTY: dict[str, Any] = {
    "null": None,
    "list": [],
    "guid of another type": {"guid": {"$ne": 1}, "conversation": 7},
    "long guid": {"guid": "x" * 50_000},
    "guid that leads away": {"guid": "../../.ssh/authorized_keys", "conversation": document("../../x")},
    "guid that ends early": {"guid": "m1-abc\x00", "conversation": document("m1-abc\x00")},
    "guid that turns round": {"guid": "m1-\u202ecba", "conversation": document("m1-\u202ecba")},
    "another guid inside": {"guid": "m1-abc", "conversation": document("m2-xyz")},
    "deep": {"guid": "m1-abc", "conversation": document(x=_nested(200))},
    "wrong members": {"guid": "m1-abc", "conversation": document(title=7, messages=[1], mode=[])},  # type: ignore[arg-type]  # a peer's
    "folder of another type": {"guid": "m1-abc", "conversation": document(), "source_folder": ["Work"]},
}


METHODS_ASKED = ("session_fetch", "session_save", "move_take", "move_drop")
ONLY_GUID = ("deep", "wrong members", "folder of another type", "another guid inside")
HARMLESS = {(method, name) for method in ("session_fetch", "move_drop") for name in ONLY_GUID}
HARMLESS |= {("session_save", "folder of another type"), ("session_save", "another guid inside")}
"""A method reads no more than it needs."""


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("method", "payload"),
    [
        pytest.param(method, payload, id=f"{method}-{name}")
        for method in METHODS_ASKED
        for name, payload in NASTY.items()
        if (method, name) not in HARMLESS
    ],
)
async def test_a_hostile_peer_gets_a_refusal_and_changes_nothing(tmp_path: Path, method: str, payload: Any) -> None:
    """FE-9.3, FE-9.29, FE-12.48, FE-12.49"""
    async with desk(tmp_path) as at:
        at.store.save(document(title="mine"), "Work")
        answer = await at.called(method, payload)
        assert isinstance(answer, str) or answer.get("ok") is not True
        assert [(e.id, e.title, e.folder) for e in at.store.entries()] == [("m1-abc", "mine", "Work")]
        assert {name for _, _, names in os.walk(tmp_path) for name in names} <= {"m1-abc.json", "owned.json", ".lock"}
        assert (await at.called("session_fetch", {"guid": "m1-abc"}))["conversation"]["title"] == "mine"


@pytest.mark.parametrize(
    "folder", ["../../etc", "/etc", "CON", "a/" * 500, "\u202e/x", "x" * 5000, ".trash", "a\\..\\b"]
)
async def test_a_hostile_folder_ends_below_the_root(tmp_path: Path, folder: str) -> None:
    async with desk(tmp_path) as at:
        taken = await at.called("move_take", {"guid": "m1-abc", "conversation": document(), "source_folder": folder})
        assert taken["ok"] is True
        (entry,) = at.store.entries()
        path = (at.store.root / entry.folder / "m1-abc.json").resolve()
        assert path.is_file()
        assert path.is_relative_to(at.store.root.resolve())
        assert not any(part.startswith(".") for part in Path(entry.folder).parts)
