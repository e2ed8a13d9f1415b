"""What was deleted or replaced, for thirty days (spec 08 FE-9.30).

`<root>/.trash/<moment>-<random>/<folder…>/<id>.json`. Blocking. Methods raise OSError; whoever calls them holds the
lock of the conversations.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mesh_common.files import keep_copy, sync_folder
from mesh_common.values import Value
from myownllm.conversations.document import ConversationError
from myownllm.conversations.names import is_conversation_id
from myownllm.home import PRIVATE_DIR

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KEEP_MS: Final = 30 * 86_400_000
MAX_BYTES: Final = 2**30
"""Beyond that nothing is replaced or deleted any more, rather than lost: a peer that saves without end stops there."""
MAX_VERSIONS: Final = 10_000
"""The same for a peer whose conversations are tiny."""
FOLDER: Final = ".trash"
_MOMENT: Final = re.compile(r"([0-9]{1,15})-[0-9a-f]{8}")


def make_folder(root: Path, folder: str) -> Path:
    """The folder below `root`, made private level by level where it is missing. Raises OSError."""
    path = root
    for part in folder.split("/") if folder else ():
        path /= part
        path.mkdir(mode=PRIVATE_DIR, exist_ok=True)
    return path


class Trashed(Value, frozen=True):
    """A version of a conversation in the trash."""

    id: str
    folder: str
    """where it was"""
    trashed_at: int
    """milliseconds since the epoch"""
    size: int
    path: Path


class Trash:
    """The trash of one conversation folder."""

    def __init__(self, root: Path, now_ms: Callable[[], int]) -> None:
        self._root = root / FOLDER
        self._now_ms = now_ms

    def entries(self) -> tuple[Trashed, ...]:
        """Newest first."""
        return tuple(sorted(self._entries(), key=lambda t: (t.trashed_at, t.path), reverse=True))

    def take(self, path: Path, folder: str) -> None:
        """Move a file here. Raises ConversationError when there is no room, FileNotFoundError without a file."""
        place = self._place(path, folder)
        path.rename(place)
        sync_folder(place.parent)
        sync_folder(path.parent)

    def keep(self, path: Path, folder: str) -> None:
        """Keep what a file holds, which is about to be replaced. Raises as `take`."""
        keep_copy(path, self._place(path, folder))

    def give_back(self, trashed: Trashed, place: Path) -> None:
        """Move a version back."""
        trashed.path.rename(place)
        sync_folder(place.parent)
        self._remove(trashed.path)

    def empty(self, older_than_ms: int | None = None) -> int:
        """Delete for good what has been here for longer, or everything; returns how many versions."""
        before = self._now_ms() - (older_than_ms or 0)
        gone = [t for t in self._entries() if older_than_ms is None or t.trashed_at <= before]
        for trashed in gone:
            self._remove(trashed.path)
        return len(gone)

    def _place(self, path: Path, folder: str) -> Path:
        size, versions = path.lstat().st_size, list(self._entries())
        if size + sum(t.size for t in versions) > MAX_BYTES or len(versions) >= MAX_VERSIONS:
            raise ConversationError("the trash is full: `myownllm conversations trash --empty` makes room")
        moment = f"{FOLDER}/{self._now_ms()}-{os.urandom(4).hex()}"
        return make_folder(self._root.parent, f"{moment}/{folder}" if folder else moment) / path.name

    def _remove(self, path: Path) -> None:
        moment = self._root / path.relative_to(self._root).parts[0]
        with contextlib.suppress(OSError):
            shutil.rmtree(moment)

    def _entries(self) -> Iterator[Trashed]:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(self._root) as scan:
            for item in scan:
                named = _MOMENT.fullmatch(item.name)
                if named is None or not item.is_dir(follow_symlinks=False):
                    continue
                for folder, _, names in os.walk(item.path):
                    for name in names:
                        path = Path(folder) / name
                        if path.suffix == ".json" and is_conversation_id(path.stem):
                            where = path.parent.relative_to(item.path).as_posix()
                            size = path.lstat().st_size
                            yield Trashed(path.stem, "" if where == "." else where, int(named[1]), size, path)
