"""The folder of conversations: whatever a peer sends ends below it, and whatever is replaced can be had back."""

from __future__ import annotations

import os
import stat
import threading
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from myownllm.conversations import store as store_module
from myownllm.conversations import trash as trash_module
from myownllm.conversations.document import DEPTH_MAX, ConversationError, checked, fresh, iso
from myownllm.conversations.host import METHODS
from myownllm.conversations.names import FOLDER_LEVELS, clean_folder, is_conversation_id
from myownllm.conversations.store import ConversationStore, NotHereError
from myownllm.payloads import PayloadError, structure
from support.vectors import suite

if TYPE_CHECKING:
    from pathlib import Path

NOW = 1_780_000_000_000
PEER = "b" * 51 + "q"
DAY_MS = 86_400_000


class Clock:
    now_ms = NOW

    def __call__(self) -> int:
        return self.now_ms


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> ConversationStore:
    return ConversationStore(tmp_path / "conversations", clock)


def document(conversation_id: str = "m1-abc", title: str = "t", **members: Any) -> dict[str, Any]:
    return {"id": conversation_id, "title": title, "messages": [], **members}


def ask(store: ConversationStore, method: str, payload: Any, peer: str = PEER) -> dict[str, Any]:
    hosted = METHODS[method]
    try:
        request = structure(hosted.request, payload)
    except PayloadError:
        return {"rpc_error": hosted.invalid}
    return hosted.answer(store, request, peer)


@suite("move_rpc")
def test_methods(case: dict[str, Any], store: ConversationStore) -> None:
    given_, expected = case["input"], case["expect"]
    if given_.get("exists"):
        store.save(document())
    answer = ask(store, given_["method"], given_["payload"])
    if "error" in expected:
        assert answer == {"rpc_error": expected["error"]}
    elif "ok" in expected:
        assert answer == expected["ok"]
    else:
        assert set(answer) == set(expected["ok_keys"])
    if "saved_folder" in expected:
        assert [e.folder for e in store.entries()] == [expected["saved_folder"]]
    outside = [p for p in store.root.parent.rglob("*") if store.root not in (p, *p.parents)]
    assert outside == [], "nothing is written beside the folder"


# ── documents ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_new_conversation_can_be_kept_and_listed(store: ConversationStore) -> None:
    entry = store.save(fresh("m1-abc", "Plans", NOW), "Work/Q4")
    assert (entry.title, entry.mode, entry.folder, entry.updated_at) == ("Plans", "text", "Work/Q4", iso(NOW))
    assert store.entries() == (entry,)
    assert store.folders() == ("Work", "Work/Q4")
    path = store.root / "Work" / "Q4" / "m1-abc.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert all(stat.S_IMODE(folder.stat().st_mode) == 0o700 for folder in (path.parent, path.parent.parent, store.root))
    assert store.load("m1-abc").document["created_at"] == "2026-05-28T20:26:40.000Z"


def deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"x": value}
    return value


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ([], "invalid conversation"),
        ({}, "invalid conversation id"),
        (document("../config"), "invalid conversation id"),
        (document("m1-abc\n"), "invalid conversation id"),
        (document("x" * 65), "invalid conversation id"),
        (document(7), "invalid conversation id"),  # type: ignore[arg-type]  # a peer's
        (document(title=["t"]), "title is no text"),  # type: ignore[arg-type]  # a peer's
        (document(title="t" * 2001), "too long"),
        (document(mode="shell"), "unknown mode"),
        (document(messages={"role": "user"}), "messages"),
        (document(messages=["hello"]), "messages"),
        (document(x=deep(DEPTH_MAX)), "too deep"),
        (document(x=deep(100_000)), "too deep"),
        (document(x="\ud800"), "not JSON"),
    ],
    ids=range(14),
)
def test_what_is_no_conversation_is_not_kept(store: ConversationStore, wrong: Any, why: str) -> None:
    with pytest.raises(ConversationError, match=why):
        store.save(wrong)
    assert store.entries() == ()


# ── names ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("Work/Q4", "Work/Q4"),
        ("../../etc/./x", "etc/x"),
        ("/abs//x/", "abs/x"),
        (r"a\..\b", "a/b"),
        (".trash/x", "trash/x"),
        ("...", ""),
        ("CON/aux.txt/Lpt1 /console", "_CON/_aux.txt/_Lpt1/console"),
        ("a\x00b\x1f/\u202egnp", "a_b_/_gnp"),
        ("x . / y", "x/y"),
        ("con" + " " * 76 + "x", "_con"),
        ("x" * 90, "x" * 79),
        ("\U0001f600" * 79, "\U0001f600" * 57),
        ("/".join("abcdefghijklmnopqrst"), "/".join("abcdefghijklmnop")),
    ],
)
def test_folders(typed: str, kept: str) -> None:
    assert clean_folder(typed) == kept
    assert clean_folder(kept) == kept


@given(st.text(max_size=300))
def test_a_folder_never_leaves_the_root(text: str) -> None:
    """FE-9.29"""
    folder = clean_folder(text)
    parts = folder.split("/") if folder else []
    assert len(parts) <= FOLDER_LEVELS
    assert all(part and not part.startswith(".") and len(part.encode()) <= 241 for part in parts)
    assert not any(c < " " or c == "\\" for c in folder)
    assert clean_folder(folder) == folder


@given(st.text(max_size=70))
def test_an_id_is_a_plain_name(text: str) -> None:
    """FE-9.29, FE-12.49."""
    if is_conversation_id(text):
        assert text.isascii()
        assert os.path.basename(text) == text  # noqa: PTH119 - of a text


def test_links_lead_nowhere(store: ConversationStore, tmp_path: Path) -> None:
    """FE-9.29, FE-12.49"""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "m9-out.json").write_text('{"id": "m9-out"}')
    store.root.mkdir()
    (store.root / "Work").symlink_to(outside)
    (store.root / "m9-out.json").symlink_to(outside / "m9-out.json")
    assert store.entries() == ()
    assert not store.has("m9-out")
    with pytest.raises(ConversationError, match="link to somewhere else"):
        store.save(document(), "Work/Q4")
    assert ask(store, "move_take", {"guid": "m1-abc", "conversation": document(), "source_folder": "Work"}) == {
        "ok": False,
        "error": "that folder is a link to somewhere else",
    }
    assert ask(store, "move_drop", {"guid": "m9-out"}) == {"ok": True}
    assert [p.name for p in outside.iterdir()] == ["m9-out.json"]


def test_the_root_itself_may_be_a_link(tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "conversations").symlink_to(tmp_path / "disk")
    store = ConversationStore(tmp_path / "conversations", clock)
    store.save(document(), "Work")
    assert (tmp_path / "disk" / "Work" / "m1-abc.json").is_file()


def test_files_that_are_no_conversations_are_left_out(store: ConversationStore) -> None:
    store.save(document())
    for name, text in (("m2-x.json", "{"), ("m3-x.json", '{"id": "m4-x"}'), ("m5-x.json", "[" * 5000), ("n.txt", "")):
        (store.root / name).write_text(text)
    os.mkfifo(store.root / "m6-x.json")
    assert [e.id for e in store.entries()] == ["m1-abc"]
    assert {path.stem for path in store.damaged()} >= {"m2-x", "m3-x", "m5-x"}
    for damaged in ("m2-x", "m3-x", "m5-x"):
        assert "error" in ask(store, "session_fetch", {"guid": damaged})


# ── saving, moving, deleting ──────────────────────────────────────────────────────────────────────────────────────────


def test_an_existing_conversation_stays_in_its_folder(store: ConversationStore) -> None:
    store.save(document(), "Work/Q4")
    answer = ask(store, "move_take", {"guid": "m1-abc", "conversation": document(title="new"), "source_folder": "Home"})
    assert answer == {"ok": True, "guid": "m1-abc"}
    assert [(e.folder, e.title) for e in store.entries()] == [("Work/Q4", "new")]
    assert [(t.id, t.folder) for t in store.trashed()] == [("m1-abc", "Work/Q4")]


def test_two_devices_that_save_the_same_version_conflict(store: ConversationStore, clock: Clock) -> None:
    """FE-9.30"""
    base = store.save(document()).updated_at
    clock.now_ms += 1
    first = {"conversation": document(title="one"), "base_updated_at": base}
    assert ask(store, "session_save", first) == {"ok": True}
    second = {"conversation": document(title="two"), "base_updated_at": base}
    assert ask(store, "session_save", second) == {"ok": False, "error": "conflict"}
    assert store.entry("m1-abc").title == "one"


def test_a_save_is_bounded(store: ConversationStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.save(document())
    large = document(messages=[{"role": "user", "content": "x" * (8 * 2**20)}])
    assert "too large" in ask(store, "session_save", {"conversation": large})["error"]
    assert ask(store, "move_take", {"guid": "m1-abc", "conversation": large})["ok"] is True, "moving has room for more"
    larger = document(messages=[{"role": "user", "content": "x" * (12 * 2**20)}])
    assert "too large" in ask(store, "move_take", {"guid": "m1-abc", "conversation": larger})["error"]
    monkeypatch.setattr(store_module, "CONVERSATIONS_MAX", 1)
    assert "the most" in ask(store, "move_take", {"guid": "m2-x", "conversation": document("m2-x")})["error"]
    monkeypatch.setattr(store_module, "SPARE_BYTES", 2**62)
    assert ask(store, "session_save", {"conversation": document()}) == {
        "ok": False,
        "error": "no space left on this device",
    }
    store.save(document("m2-x"))  # a person here may use all there is


def test_what_a_peer_replaces_or_drops_can_be_had_back(store: ConversationStore, clock: Clock) -> None:
    """FE-9.30"""
    store.save(document(title="mine"), "Work")
    assert ask(store, "session_save", {"conversation": document(title="theirs")}) == {"ok": True}
    clock.now_ms += 1
    assert ask(store, "move_drop", {"guid": "m1-abc"}) == {"ok": True}
    assert store.entries() == ()
    assert store.restore("m1-abc").title == "theirs"
    assert store.restore("m1-abc").title == "mine"
    assert store.entries()[0].folder == "Work"
    with pytest.raises(ConversationError, match="in the trash"):
        store.restore("m2-x")


def test_a_device_that_saves_after_every_turn_leaves_one_version_behind(store: ConversationStore, clock: Clock) -> None:
    store.save(document(title="mine"))
    for turn in range(5):
        clock.now_ms += 1000
        ask(store, "session_save", {"conversation": document(title=f"turn {turn}")})
    assert len(store.trashed()) == 1, "the version before the first turn"
    store.save(document(title="mine again"))
    ask(store, "session_save", {"conversation": document(title="theirs again")})
    assert len(store.trashed()) == 3, "what another one wrote is always kept"
    clock.now_ms += store_module.BURST_MS + 1
    ask(store, "session_save", {"conversation": document(title="later")})
    assert len(store.trashed()) == 4


def test_the_trash_keeps_thirty_days(store: ConversationStore, clock: Clock) -> None:
    store.save(document())
    store.remove("m1-abc")
    clock.now_ms += 30 * DAY_MS - 1
    assert store.empty_trash(older_than_ms=trash_module.KEEP_MS) == 0
    clock.now_ms += 1
    assert store.empty_trash(older_than_ms=trash_module.KEEP_MS) == 1
    assert store.trashed() == ()
    assert list((store.root / ".trash").iterdir()) == []


def test_a_full_trash_stops_peers_and_loses_nothing(store: ConversationStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.save(document(title="mine"))
    monkeypatch.setattr(trash_module, "MAX_BYTES", 10)
    for method, payload in (("move_drop", {"guid": "m1-abc"}), ("session_save", {"conversation": document(title="x")})):
        assert "the trash is full" in ask(store, method, payload)["error"]
    assert store.entry("m1-abc").title == "mine"
    monkeypatch.setattr(trash_module, "MAX_BYTES", 2**30)
    monkeypatch.setattr(trash_module, "MAX_VERSIONS", 0)
    assert "the trash is full" in ask(store, "move_drop", {"guid": "m1-abc"})["error"]


def test_moving_between_folders(store: ConversationStore) -> None:
    store.save(document(), "Work")
    assert store.move("m1-abc", "Home/2026").folder == "Home/2026"
    assert store.move("m1-abc", "").folder == ""
    assert store.move("m1-abc", "").folder == ""
    assert [e.folder for e in store.entries()] == [""]
    with pytest.raises(NotHereError):
        store.move("m2-x", "Home")


def test_a_conversation_that_changed_meanwhile_is_not_removed(store: ConversationStore, clock: Clock) -> None:
    store.save(document())
    loaded = store.load("m1-abc")
    clock.now_ms += 5
    store.save(document(title="changed"))
    with pytest.raises(ConversationError, match="changed meanwhile"):
        store.remove("m1-abc", unless_changed_since=loaded)
    assert store.remove("m1-abc", unless_changed_since=store.load("m1-abc"))
    assert not store.remove("m1-abc", unless_changed_since=loaded)


def test_of_two_files_of_one_id_the_newest_counts(store: ConversationStore) -> None:
    store.save(document(title="old"))
    copy = store.root / "Copy"
    copy.mkdir()
    (copy / "m1-abc.json").write_bytes(msgspec.json.encode(document(title="new", updated_at="2027")))
    assert [(e.title, e.folder) for e in store.entries()] == [("new", "Copy")]
    assert store.load("m1-abc").folder == "Copy"


def test_a_folder_that_cannot_be_used_is_a_sentence(tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "file").write_text("")
    store = ConversationStore(tmp_path / "file", clock)
    assert store.entries() == store.trashed() == store.folders() == ()
    with pytest.raises(ConversationError, match="cannot change the conversations: "):
        store.save(document())
    assert ConversationStore(tmp_path / "none", clock).empty_trash() == 0


def test_two_writers_never_lose_a_conversation(store: ConversationStore, tmp_path: Path, clock: Clock) -> None:
    other = ConversationStore(store.root, clock)

    def work(mine: ConversationStore, name: str) -> None:
        for number in range(10):
            mine.save(document(f"{name}-{number}"), "Work")
            mine.move(f"{name}-{number}", "Done")

    threads = [threading.Thread(target=work, args=(s, n)) for s, n in ((store, "a"), (other, "b"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {e.folder for e in store.entries()} == {"Done"}
    assert len(store.entries()) == 20


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@given(
    st.sampled_from(sorted(METHODS)),
    st.dictionaries(st.sampled_from(["guid", "conversation", "source_folder", "base_updated_at"]), JSON) | JSON,
)
def test_no_request_raises(tmp_path_factory: pytest.TempPathFactory, method: str, payload: Any) -> None:
    root = tmp_path_factory.getbasetemp() / "hostile"
    answer = ask(ConversationStore(root, Clock()), method, payload)
    assert answer.get("ok") is not True or method == "move_drop"


def test_checked_gives_compact_bytes() -> None:
    assert checked(document())[1] == b'{"id":"m1-abc","title":"t","messages":[]}'
