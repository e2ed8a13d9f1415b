"""The app's `config.json`: loaded through every migration, changed under a lock, never lost (spec 08 §6.1).

Blocking and fast (one small file); the running app calls it from a worker thread.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs
import msgspec

from mesh_common.files import keep_copy, read_regular
from mesh_common.handwritten import fault, in_style_of, other_encoding, without_mark
from mesh_common.locks import FileLock
from myownllm.catalog.model import Catalog, read_config
from myownllm.coerce import as_object
from myownllm.errors import HomeError
from myownllm.files import CHANGE_WAIT_S, read_json, write_durably
from myownllm.ids import mint_network_config_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from myownllm.catalog.model import LoadedCatalog
    from myownllm.coerce import JsonObject
    from myownllm.ids import Rng

Signature = tuple[int, int, int]
MAX_CONFIG_BYTES: Final = 64 * 2**20
"""Prompts and policies of many networks stay far below."""
KEPT_REPAIRS: Final = 20
"""Told by `health`, the newest ones."""


def wall_ms() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


@attrs.frozen
class Stored:
    """What is in the file now. `signature` changes whenever the file does."""

    catalog: Catalog
    signature: Signature | None
    notices: tuple[str, ...] = ()
    unusable: tuple[str, ...] = ()
    """members that somebody wrote and that are not in force"""
    sections: JsonObject = attrs.field(factory=dict, repr=False)
    """the top-level members beside `cloud_mesh`, which other parts of the app read"""


class CatalogFile:
    """The one reader and writer of the catalog. Every method may raise HomeError for an unreadable file.

    Reading works wherever the file can be read: on a full or read-only disk repairs are used without being saved.
    """

    def __init__(
        self,
        path: Path,
        now_ms: Callable[[], int] = wall_ms,
        rng: Rng | None = None,
        on_repair: Callable[[str], None] | None = None,
        in_use: Callable[[], bool] = lambda: False,
    ) -> None:
        """`on_repair` is told on the spot when what was in the file is replaced.

        While a running app uses it (`in_use`), a damaged file is an unfinished edit: it is refused, not replaced.
        """
        self.path = path
        self._in_use = in_use
        self._on_repair = on_repair
        self._now_ms = now_ms
        self._rng: Rng = rng if rng is not None else random.SystemRandom()
        self._backup = path.with_name(path.name + ".bak")
        self._lock_path = path.with_name(path.name + ".lock")
        self._unseen = path.with_name(path.name + ".repairs")

    def mint_id(self) -> str:
        """A fresh local id for a saved network."""
        return mint_network_config_id(self._now_ms(), self._rng)

    def load(self) -> Stored:
        """Read and, where an old or damaged file needs it, repair and save (FE-6.3, FE-6.5)."""
        if not self.path.exists() and not self._backup.exists():
            return Stored(Catalog(), None)
        with contextlib.ExitStack() as stack:
            with contextlib.suppress(OSError):  # where no lock can be made, nobody writes either
                stack.enter_context(self._locked())
            before = self.signature()
            loaded, _, wrote = self._read()
            # what changes the file while it is read must be seen as a change afterwards
            signature = self.signature() if wrote else before
            return Stored(loaded.catalog, signature, loaded.notices, loaded.unusable, loaded.rest)

    def mutate(self, change: Callable[[Catalog], Catalog]) -> Catalog:
        """Apply a change to the newest content and save it. What `change` raises leaves the file as it was."""
        with self._changing():
            loaded, raw, _ = self._read()
            changed = change(loaded.catalog)
            if changed != loaded.catalog or raw is None:
                self._write({**loaded.rest, "cloud_mesh": changed.to_json()})
            return changed

    def change_section(self, name: str, members: JsonObject) -> JsonObject:
        """Set members of a top-level section beside `cloud_mesh`, and save it; returns the section."""
        with self._changing():
            loaded, raw, _ = self._read()
            before = as_object(loaded.rest.get(name))
            section = {**before, **members}
            if section != before or raw is None:
                self._write({**loaded.rest, name: section, "cloud_mesh": loaded.catalog.to_json()})
            return section

    def unseen_repairs(self) -> tuple[str, ...]:
        """What whoever loaded the file had to repair since `repairs_seen`, oldest first."""
        known = read_json(self._unseen)
        return tuple(text for text in known if isinstance(text, str)) if isinstance(known, list) else ()

    def repairs_seen(self) -> None:
        """A person has been shown them."""
        with contextlib.suppress(OSError):
            self._unseen.unlink(missing_ok=True)

    def _repaired(self, text: str) -> None:
        texts = [*(told for told in self.unseen_repairs() if told != text), text][-KEPT_REPAIRS:]
        with contextlib.suppress(OSError):
            write_durably(self._unseen, _pretty(texts).encode())
        if self._on_repair is not None:
            self._on_repair(text)

    def signature(self) -> Signature | None:
        """Identity of the file's present content; None when there is no file."""
        try:
            facts = self.path.stat()
        except OSError:
            return None
        return facts.st_ino, facts.st_ctime_ns, facts.st_size  # changes of the mode count: they can make it readable

    @contextlib.contextmanager
    def _changing(self) -> Iterator[None]:
        """The file is nobody else's for the length of the block."""
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = self._locked()
        except OSError as error:
            raise self._unsaved(error) from None
        with lock:
            yield

    def _locked(self) -> FileLock:
        lock = FileLock(self._lock_path)
        lock.acquire(wait=CHANGE_WAIT_S)
        return lock

    def _read(self) -> tuple[LoadedCatalog, JsonObject | None, bool]:
        """What is in the file, also as it stands there, and whether it was written on the way.

        What a person wrote and we cannot use stays there, to be corrected; but a record without an id needs one.
        """
        raw, notices = self._read_raw()
        wrote = bool(notices)
        loaded = read_config(raw or {}, self._now_ms(), self.mint_id)
        for text in (*notices, *(loaded.notices[:1] if loaded.recovered else ())):
            self._repaired(text)
        catalog = loaded.catalog
        if loaded.recovered == 1 and catalog.active_network_id is None and "active_network_id" not in (raw or {}):
            catalog = catalog.set_active_network(catalog.networks[0].id)
        loaded = msgspec.structs.replace(loaded, catalog=catalog, notices=(*notices, *loaded.notices))
        if raw is not None:
            repaired = {**loaded.rest, "cloud_mesh": catalog.to_json()}
            if "cloud_mesh" in raw or catalog.networks:
                if repaired != raw and (loaded.minted_ids or not loaded.unusable):
                    with contextlib.suppress(HomeError):  # the next load repairs it again
                        self._write(repaired)
                        wrote = True
                elif not self._backup.exists():
                    self._back_up(self._bytes(raw))
        return loaded, raw, wrote

    def _read_raw(self) -> tuple[JsonObject | None, tuple[str, ...]]:
        """The file, or its backup when it is damaged; the damaged one is set aside, never overwritten."""
        try:
            data = read_regular(self.path, MAX_CONFIG_BYTES + 1)
        except FileNotFoundError:
            return None, ()
        except OSError as error:
            text = f"cannot read {self.path}: {error.strerror}; the app changes nothing until it can"
            raise HomeError(text) from None
        if (encoding := other_encoding(data)) is not None:  # nothing is lost, so nothing is replaced
            raise HomeError(f"{self.path} is {encoding} text; save it as UTF-8, the app changes nothing until then")
        raw = _decode(data)
        if raw is not None:
            return raw, ()
        damage = fault(data) if len(data) <= MAX_CONFIG_BYTES else "too large"
        if self._in_use():
            raise HomeError(f"{self.path} is damaged ({damage}); correct it, the app changes nothing until then")
        try:
            backup = _decode(read_regular(self._backup, MAX_CONFIG_BYTES + 1))
        except OSError:
            backup = None
        try:
            aside = self._set_aside(backup)
        except OSError as error:
            text = f"{self.path} is damaged ({damage}) and cannot be replaced: {error.strerror}"
            if backup is None:
                raise HomeError(f"{text}; the app changes nothing until it can") from None
            return backup, (f"{text}; its last good copy is used",)
        what = "its last good copy is used" if backup is not None else "defaults are used"
        return backup, (f"{self.path} was damaged ({damage}): kept as {aside.name}, {what}",)

    def _set_aside(self, backup: JsonObject | None) -> Path:
        """Keep the damaged file under another name and put the backup in its place.

        Raises OSError, and then the damaged file is still there: an interrupted repair begins again, it never ends as
        "no file", which would be an empty catalog.
        """
        aside = self.path.with_name(f"{self.path.name}.corrupt-{self._now_ms()}")
        if backup is None and not self.path.is_symlink():
            return self.path.rename(aside)
        keep_copy(self._target(), aside)
        try:
            if backup is None:
                self._target().unlink()
            else:
                write_durably(self._target(), self._bytes(backup))
        except OSError:
            aside.unlink()
            raise
        return aside

    def _target(self) -> Path:
        """Where the content lies: a link to a file elsewhere (of dotfiles under version control) stays a link."""
        return Path(os.path.realpath(self.path))

    def _write(self, raw: JsonObject) -> None:
        data = self._bytes(raw)
        try:
            write_durably(self._target(), data)
        except OSError as error:
            raise self._unsaved(error) from None
        self._back_up(data)

    def _back_up(self, data: bytes) -> None:
        with contextlib.suppress(OSError):  # a missing copy is no reason to refuse what was saved
            write_durably(self._backup, data)

    def _bytes(self, raw: JsonObject) -> bytes:
        return in_style_of(_pretty(raw), self.path)

    def _unsaved(self, error: OSError) -> HomeError:
        return HomeError(f"cannot save {self.path}: {error.strerror}; the old content is intact")


def _decode(data: bytes) -> JsonObject | None:
    if len(data) > MAX_CONFIG_BYTES:
        return None
    try:
        raw = msgspec.json.decode(without_mark(data))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return raw if isinstance(raw, dict) else None


def _pretty(value: JsonObject | list[str]) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)
