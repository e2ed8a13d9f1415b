"""The cache of verified archives, shared by every checkout of this user (spec 09 §8.6).

Content is found by digest and hashed again on every use; names only lead to a digest.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from mesh_bundler import files
from mesh_common.files import read_regular, sync_folder, write_atomically

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_NOTE_MAX_BYTES = 65_536
"""Bytes; ours take a few hundred."""
PART_MAX_AGE = 7 * 24 * 3600.0
"""Seconds until an abandoned download is swept."""


@dataclass(frozen=True, slots=True)
class Cached:
    """A verified archive in the store."""

    path: Path
    sha256: str
    verified: str  # what vouched for it when it was downloaded
    key_id: str | None
    url: str


def cache_root(env: Mapping[str, str]) -> Path:
    """Where the cache belongs: `MYOWNMESH_CACHE_DIR`, else the platform's cache folder."""
    if named := env.get("MYOWNMESH_CACHE_DIR", "").strip():
        return _expanded(named).absolute()
    home = _expanded(env.get("HOME") or "~")
    if sys.platform == "darwin":
        base = home / "Library" / "Caches"
    else:
        base = Path(env.get("XDG_CACHE_HOME") or home / ".cache")
    return (base / "myownmesh-bundler").absolute()


def _expanded(text: str) -> Path:
    return Path(os.path.expanduser(text))  # noqa: PTH111 - a user that is not there stays as it was written


class Store:
    """One cache root. Every method is safe against other processes doing the same."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @classmethod
    def open(cls, root: Path) -> Store | str:
        """The store, or why this root cannot be one (another owner, writable by everybody, read-only)."""
        try:
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
            facts = root.stat()
            if facts.st_uid != os.geteuid():
                return "it belongs to another user"
            if facts.st_mode & 0o002:
                return "everybody may write to it"
            for name in ("partial", "locks", "index", "store"):
                (root / name).mkdir(mode=0o700, exist_ok=True)
            if not os.access(root / "partial", os.W_OK | os.X_OK):
                return "it is not writable"
        except OSError as error:
            return error.strerror or str(error)
        return cls(root)

    def lock_path(self, key: str) -> Path:
        return self.root / "locks" / f"{key}.lock"

    def part_path(self, key: str) -> Path:
        """Where a download under way is kept; `key` is a digest or `name_key`."""
        return self.root / "partial" / f"{key}.part"

    def by_digest(self, sha256: str) -> Cached | None:
        """The archive with this digest, hashed again; None when absent or damaged."""
        path = self._entry(sha256) / "archive"
        try:
            if files.sha256_of(path) != sha256:
                self.forget(sha256)
                return None
            meta = json.loads(read_regular(path.parent / "meta.json", _NOTE_MAX_BYTES))
            return Cached(
                path, sha256, str(meta.get("verified", "checksum")), meta.get("key_id"), str(meta.get("url", ""))
            )
        except (OSError, ValueError, AttributeError, RecursionError):
            return None

    def by_name(self, key: str) -> Cached | None:
        """The archive that was verified for this feed, tag and asset before (`key` from `name_key`)."""
        try:
            sha256 = json.loads(read_regular(self.root / "index" / f"{key}.json", _NOTE_MAX_BYTES))["sha256"]
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return None
        return self.by_digest(sha256) if _is_digest(sha256) else None

    def has_name(self, key: str) -> bool:
        """Whether `by_name` is worth asking; does not hash."""
        return (self.root / "index" / f"{key}.json").is_file()

    def has_digest(self, sha256: str) -> bool:
        return (self._entry(sha256) / "archive").is_file()

    def put(self, archive: Path, sha256: str, *, key: str, verified: str, key_id: str | None, url: str) -> Cached:
        """Move a verified archive into the store and remember it under its name. Raises OSError."""
        entry = self._entry(sha256)
        entry.mkdir(mode=0o700, parents=True, exist_ok=True)
        meta = {"verified": verified, "key_id": key_id, "url": url, "stored_at": int(time.time())}
        write_atomically(entry / "meta.json", json.dumps(meta, sort_keys=True).encode(), mode=0o600)
        with contextlib.suppress(OSError):  # a file system without modes
            archive.chmod(0o400)
        archive.replace(entry / "archive")
        # It is in the store now, whatever else fails: the caller must not look for it where it was.
        with contextlib.suppress(OSError):
            sync_folder(entry)
            self.remember(key, sha256)
        return Cached(entry / "archive", sha256, verified, key_id, url)

    def remember(self, key: str, sha256: str) -> None:
        """Note that this name means this digest."""
        write_atomically(self.root / "index" / f"{key}.json", json.dumps({"sha256": sha256}).encode(), mode=0o600)

    def forget(self, sha256: str) -> None:
        """Drop a bad entry; it will be downloaded afresh."""
        _remove_tree(self._entry(sha256))

    def sweep(self) -> None:
        """Drop parts of downloads that nobody came back for."""
        self._drop_old((self.root / "partial").glob("*"), PART_MAX_AGE)

    def clean(self, older_than: float) -> int:
        """Drop entries and parts not used for `older_than` seconds; returns how many files went."""
        old = [path for pattern in ("partial/*", "index/*") for path in self.root.glob(pattern)]
        count = self._drop_old(old, older_than)
        for entry in (self.root / "store" / "sha256").glob("*/*"):
            with contextlib.suppress(OSError):
                if time.time() - (entry / "archive").stat().st_mtime >= older_than:
                    _remove_tree(entry)
                    count += 1
        return count

    def _entry(self, sha256: str) -> Path:
        return self.root / "store" / "sha256" / sha256[:2] / sha256

    def _drop_old(self, paths: Iterable[Path], age: float) -> int:
        count = 0
        for path in paths:
            with contextlib.suppress(OSError):
                if time.time() - path.stat().st_mtime >= age:
                    path.unlink()
                    count += 1
        return count


def name_key(base: str, tag: str, asset: str) -> str:
    """File-name-safe key for an asset of a release at one feed."""
    digest = hashlib.sha256(f"{base}\n{tag}\n{asset}".encode()).hexdigest()[:32]
    return f"{digest}-{asset}"


def _is_digest(text: object) -> bool:
    return isinstance(text, str) and len(text) == 64 and all(letter in "0123456789abcdef" for letter in text)


def _remove_tree(folder: Path) -> None:
    import shutil  # only when something is really removed

    shutil.rmtree(folder, ignore_errors=True)
