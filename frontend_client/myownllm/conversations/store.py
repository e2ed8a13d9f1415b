"""The folder of conversations: one file each, written whole, found by id, never lost (spec 08 §9.7).

`<root>/<folder…>/<id>.json`; what begins with a dot is ours: `.trash`, `.lock`. Blocking: the running app calls it from
worker threads. Every change holds the lock of the folder, so that an app and a command never change it at once.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from mesh_common.files import remove_leftovers, sync_folder
from mesh_common.locks import FileLock
from mesh_common.values import Value
from myownllm.conversations.document import NOT_HERE, ConversationError, Head, checked, iso
from myownllm.conversations.names import FOLDER_LEVELS, clean_folder, is_conversation_id
from myownllm.conversations.trash import Trash, make_folder
from myownllm.files import CHANGE_WAIT_S, write_durably
from myownllm.home import PRIVATE_DIR
from myownllm.ids import PREFIX_MIN_CHARS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from myownllm.coerce import JsonObject
    from myownllm.conversations.trash import Trashed

TITLED_VERSIONS: Final = 500
"""Of the trash: those that a person may want back are the newest."""
READ_MAX_BYTES: Final = 64 * 2**20
"""A larger file is no conversation."""
SPARE_BYTES: Final = 256 * 2**20
"""Of the disk; what peers send must not take the rest."""
BURST_MS: Final = 600_000
"""A device that saves after every turn replaces its own versions of that time without a trace: not hundreds of them."""
CONVERSATIONS_MAX: Final = 5000
"""Here, before peers may add no more: a catalog tells of no more."""


def conversation_root(home: Path, sections: JsonObject) -> Path:
    """Where conversations are: `conversation_dir` of the configuration, or the folder in the app's home."""
    chosen = sections.get("conversation_dir")
    return home / (Path(chosen).expanduser() if isinstance(chosen, str) and chosen.strip() else "conversations")


class Entry(Value, frozen=True):
    """A conversation in the folder."""

    id: str
    title: str
    mode: str
    updated_at: str
    folder: str
    """below the root, parts joined by `/`; empty for the root"""
    size: int
    """bytes of its file"""


class _Written(Value, frozen=True):
    """Who wrote a file last, as far as this process knows."""

    writer: str
    signature: tuple[int, int, int]
    at_ms: int


class Loaded(Value, frozen=True):
    """A document, and what its file was when it was read."""

    document: JsonObject
    folder: str
    signature: tuple[int, int, int]


class ConversationStore:
    """Conversations below `root`. Methods raise ConversationError, whose text is fit for a person and a peer."""

    def __init__(self, root: Path, now_ms: Callable[[], int]) -> None:
        self.root = root
        self._now_ms = now_ms
        self._heads: dict[Path, tuple[tuple[int, int, int], Head | None]] = {}
        self._trash = Trash(root, now_ms)
        self._written: dict[str, _Written] = {}

    # ── reading ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def entries(self) -> tuple[Entry, ...]:
        """All conversations, newest first. Files that are none are left out, as are links to somewhere else."""
        heads: dict[Path, tuple[tuple[int, int, int], Head | None]] = {}
        found: dict[str, Entry] = {}
        for folder, path in self._files():
            try:
                signature = _signature(path)
            except OSError:
                continue
            known = self._heads.get(path)
            head = known[1] if known is not None and known[0] == signature else _head(path)
            heads[path] = (signature, head)
            if head is None:
                continue
            entry = Entry(path.stem, head.title, head.mode, head.updated_at, folder, signature[2])
            other = found.get(entry.id)
            if other is None or other.updated_at < entry.updated_at:
                found[entry.id] = entry
        self._heads = heads
        return tuple(sorted(found.values(), key=lambda e: (e.updated_at, e.id), reverse=True))

    def damaged(self) -> tuple[Path, ...]:
        """Files named as conversations that `entries` found to hold none; they are left as they are."""
        return tuple(sorted(path for path, (_, head) in self._heads.items() if head is None))

    def folders(self) -> tuple[str, ...]:
        """Folders below the root, also empty ones."""
        return tuple(sorted(folder for folder, _ in self._folders() if folder))

    def load(self, conversation_id: str) -> Loaded:
        """A conversation's document."""
        folder, path = self._find(conversation_id)
        try:
            signature = _signature(path)
            data = path.read_bytes() if signature[2] <= READ_MAX_BYTES else b""
            document = msgspec.json.decode(data)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise ConversationError(f"the file of conversation {conversation_id} cannot be read") from None
        if not isinstance(document, dict) or document.get("id") != conversation_id:
            raise ConversationError(f"the file of conversation {conversation_id} holds another one")
        return Loaded(document, folder, signature)

    def has(self, conversation_id: str) -> bool:
        """Is there a file for it?"""
        try:
            self._find(conversation_id)
        except ConversationError:
            return False
        return True

    def select(self, text: str) -> str:
        """The id of the conversation that a person means: by id, its unique beginning, or its title."""
        return selected([(e.id, e.title) for e in self.entries()], text)

    # ── changing ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def save(self, document: JsonObject, folder: str = "", *, writer: str = "") -> Entry:
        """Keep a document; an existing conversation stays in its folder, and its file before goes into the trash.

        `writer` is the device that it comes from, empty for a person here. Devices may not fill the disk.
        """
        _, data = checked(document)
        with self._changing():
            if writer:
                self._check_room(len(data), is_new=not self.has(document["id"]))
            return self._write(document, folder, writer)

    def update(self, document: JsonObject, writer: str, *, base_updated_at: str | None = None) -> Entry:
        """Save a conversation that must exist; with a base only if nobody saved it since then."""
        _, data = checked(document)
        with self._changing():
            before = self.load(document["id"])
            if base_updated_at is not None and before.document.get("updated_at") != base_updated_at:
                raise ConversationError("conflict")
            self._check_room(len(data), is_new=False)
            return self._write(document, before.folder, writer)

    def remove(self, conversation_id: str, *, unless_changed_since: Loaded | None = None) -> bool:
        """Put a conversation into the trash; False when there is none.

        Raises ConversationError when it is no longer what it was when it was loaded.
        """
        with self._changing():
            try:
                folder, path = self._find(conversation_id)
            except NotHereError:
                return False
            if unless_changed_since is not None and _signature(path) != unless_changed_since.signature:
                raise ConversationError(f"conversation {conversation_id} was changed meanwhile, so it is kept here too")
            self._trash.take(path, folder)
            self._written.pop(conversation_id, None)
            return True

    def move(self, conversation_id: str, folder: str) -> Entry:
        """Put a conversation into another folder."""
        target = clean_folder(folder)
        with self._changing():
            current, path = self._find(conversation_id)
            if current != target:
                place = self._make(target) / path.name
                with contextlib.suppress(FileNotFoundError):
                    self._trash.take(place, target)
                path.rename(place)
                sync_folder(place.parent)
                sync_folder(path.parent)
        return self.entry(conversation_id)

    def entry(self, conversation_id: str) -> Entry:
        """What a list shows of one conversation that is here."""
        loaded = self.load(conversation_id)
        return _entry(loaded.document, loaded.folder, loaded.signature[2])

    # ── the trash ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def trashed(self) -> tuple[Trashed, ...]:
        """What was deleted or replaced in the last thirty days, newest first."""
        return self._trash.entries()

    def trashed_titles(self) -> dict[Path, str]:
        """Titles of the newest trashed versions, by their files."""
        heads = ((t.path, _head(t.path)) for t in self._trash.entries()[:TITLED_VERSIONS])
        return {path: head.title for path, head in heads if head is not None and isinstance(head.title, str)}

    def select_trashed(self, text: str) -> str:
        """The id that a person means of what is in the trash. Raises ConversationError."""
        titles = self.trashed_titles()
        known = {t.id: titles.get(t.path, "") for t in reversed(self._trash.entries())}
        try:
            return selected(list(known.items()), text)
        except NotHereError:
            where = "`myownllm conversations trash` shows what is"
            raise ConversationError(f"no conversation '{text}' in the trash; {where}") from None

    def restore(self, conversation_id: str) -> Entry:
        """Bring the newest trashed version back; what is there now goes into the trash."""
        with self._changing():
            found = next((t for t in self._trash.entries() if t.id == conversation_id), None)
            if found is None:
                raise ConversationError(f"no conversation {conversation_id} in the trash")
            with contextlib.suppress(NotHereError):
                folder, path = self._find(conversation_id)
                self._trash.take(path, folder)
            place = self._make(clean_folder(found.folder)) / f"{conversation_id}.json"
            self._trash.give_back(found, place)
        return self.entry(conversation_id)

    def empty_trash(self, *, older_than_ms: int | None = None) -> int:
        """Delete for good what has been in the trash for longer (None: everything); returns how many."""
        if not self.root.is_dir():
            return 0
        with self._changing():
            return self._trash.empty(older_than_ms)

    # ── inside ────────────────────────────────────────────────────────────────────────────────────────────────────────

    @contextlib.contextmanager
    def _changing(self) -> Iterator[None]:
        try:
            self.root.mkdir(mode=PRIVATE_DIR, parents=True, exist_ok=True)
            with FileLock(self.root / ".lock") as lock:
                lock.acquire(wait=CHANGE_WAIT_S)
                yield
        except OSError as error:
            raise ConversationError(f"cannot change the conversations: {error.strerror or error}") from None

    def _check_room(self, size: int, *, is_new: bool) -> None:
        if shutil.disk_usage(self.root).free < size + SPARE_BYTES:
            raise ConversationError("no space left on this device")
        if is_new and sum(1 for _ in self._files()) >= CONVERSATIONS_MAX:
            raise ConversationError(f"this device keeps {CONVERSATIONS_MAX} conversations, the most there can be")

    def _write(self, document: JsonObject, folder: str, writer: str) -> Entry:
        """With the lock: stamp it and put it in its place."""
        now_ms, conversation_id = self._now_ms(), document["id"]
        stamped = {**document, "updated_at": iso(now_ms)}
        try:
            kept, path = self._find(conversation_id)
        except NotHereError:
            kept = clean_folder(folder)
            path = self._make(kept) / f"{conversation_id}.json"
        with contextlib.suppress(
            FileNotFoundError
        ):  # looked at again: where the disk knows no case it may be another's
            last = self._written.get(conversation_id)
            is_own_burst = last is not None and (last.writer, last.signature) == (writer, _signature(path))
            if last is None or not is_own_burst or now_ms - last.at_ms > BURST_MS:
                self._trash.keep(path, kept)
        data = msgspec.json.encode(stamped)
        write_durably(path, data)
        self._written[conversation_id] = _Written(writer, _signature(path), now_ms)
        remove_leftovers(path.parent, now_ms / 1000)
        return _entry(stamped, kept, len(data))

    def _make(self, folder: str) -> Path:
        self._check_inside(self.root / folder)
        return make_folder(self.root, folder)

    def _check_inside(self, path: Path) -> None:
        """Raises ConversationError for a path that links lead out of the root."""
        if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(self.root)):
            raise ConversationError("that folder is a link to somewhere else")

    def _find(self, conversation_id: str) -> tuple[str, Path]:
        """Folder and file of a conversation; of several the one that was written last."""
        if not is_conversation_id(conversation_id):
            raise ConversationError("invalid conversation id")
        name = f"{conversation_id}.json"
        found = [(folder, path) for folder, path in self._files() if path.name == name]
        if not found:
            raise NotHereError(NOT_HERE)
        return max(found, key=lambda each: each[1].lstat().st_mtime_ns)

    def _files(self) -> Iterator[tuple[str, Path]]:
        for folder, path in self._folders():
            with contextlib.suppress(OSError), os.scandir(path) as scan:
                for item in scan:
                    stem, ending = os.path.splitext(item.name)  # noqa: PTH122 - of thousands of names
                    if ending == ".json" and is_conversation_id(stem) and item.is_file(follow_symlinks=False):
                        yield folder, Path(item.path)

    def _folders(self) -> Iterator[tuple[str, Path]]:
        """The root and every folder below it, none of them a link, as deep as folders may be."""
        waiting = [("", self.root)]
        while waiting:
            folder, path = waiting.pop()
            yield folder, path
            if folder.count("/") + bool(folder) >= FOLDER_LEVELS:
                continue
            with contextlib.suppress(OSError), os.scandir(path) as scan:
                waiting += [
                    (f"{folder}/{item.name}" if folder else item.name, Path(item.path))
                    for item in scan
                    if not item.name.startswith(".") and item.is_dir(follow_symlinks=False)
                ]


class NotHereError(ConversationError):
    """There is no conversation of that id."""


def _signature(path: Path) -> tuple[int, int, int]:
    facts = path.lstat()
    return facts.st_ino, facts.st_mtime_ns, facts.st_size


def _head(path: Path) -> Head | None:
    """What a list shows of a file; None when it holds no conversation of that name."""
    try:
        if path.lstat().st_size > READ_MAX_BYTES:
            return None
        head = msgspec.json.decode(path.read_bytes(), type=Head)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return head if head.id == path.stem else None


def _entry(document: JsonObject, folder: str, size: int) -> Entry:
    texts = {name: value for name in ("title", "mode", "updated_at") if isinstance(value := document.get(name), str)}
    return Entry(
        document["id"], texts.get("title", ""), texts.get("mode", "text"), texts.get("updated_at", ""), folder, size
    )


def selected(known: list[tuple[str, str]], text: str) -> str:
    """The one id that `text` means among ids and their titles. Raises ConversationError that lists the choices."""
    wanted = text.strip()
    found = [each for each, _ in known if each == wanted]
    found = found or [each for each, _ in known if len(wanted) >= PREFIX_MIN_CHARS and each.startswith(wanted)]
    found = found or [each for each, title in known if title.casefold() == wanted.casefold()]
    if len(found) == 1:
        return found[0]
    if found:
        raise ConversationError(f"'{text}' means {len(found)} conversations: {', '.join(found[:8])}; use the id")
    raise NotHereError(f"no conversation '{text}'; `myownllm conversations list` shows those there are")
