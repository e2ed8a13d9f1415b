"""``<home>/updates``: where the updater's files are, and how they are read and written (spec 09 §10.1)."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from mesh_common.files import read_regular, write_atomically
from mesh_common.locks import FileLock
from myownmesh.updates.foreign import artifacts
from myownmesh.updates.records import Failures, Staged, State, read_failures, read_staged, read_state, text_of

if TYPE_CHECKING:
    from pathlib import Path

_MAX_BYTES = 256 * 1024
LOCK_WAIT_S = 20.0
"""For another process that puts an update in; a swap takes a second, a download holds no lock."""


class Place:
    """The updater's files of one data directory. What cannot be read counts as absent."""

    def __init__(self, home: Path) -> None:
        self.root = home / "updates"

    def make(self) -> None:
        """Raises OSError."""
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)

    def lock(self) -> FileLock:
        """Held while the program or these files are changed. Raises OSError, `Held` after `LOCK_WAIT_S`."""
        self.make()
        lock = FileLock(self.root / ".lock")
        lock.acquire(wait=LOCK_WAIT_S)
        return lock

    def version_folder(self, version: str) -> Path:
        """Where a release is downloaded to; `version` is a strict version, so it stays in here."""
        return self.root / version

    # ── what is kept ──────────────────────────────────────────────────────────────────────────────────────────────────

    def staged(self) -> Staged | None:
        return read_staged(self._read("staged.json"))

    def state(self) -> State | None:
        return read_state(self._read("state.json"))

    def failures(self) -> Failures:
        return read_failures(self._read("failures.json"))

    def last_check(self) -> int | None:
        """Unix seconds of the last check that did not fail."""
        text = self._read("last-check").strip()
        return int(text) if text.isdigit() and len(text) < 20 else None

    def foreign_version(self) -> str | None:
        """What v0.3.8 has staged in a home that both share."""
        import json

        try:
            document = json.loads(self._read("pending.json"))
        except (ValueError, RecursionError):
            return None
        version = document.get("version") if artifacts(document) else None
        return version if isinstance(version, str) else None

    def write(self, value: Staged | State | Failures) -> None:
        """Raises OSError."""
        name = {Staged: "staged.json", State: "state.json", Failures: "failures.json"}[type(value)]
        self.make()
        write_atomically(self.root / name, text_of(value), mode=0o600)

    def checked(self, now: float) -> None:
        """Note a check that did not fail. Raises OSError."""
        self.make()
        write_atomically(self.root / "last-check", b"%d\n" % int(now), mode=0o600)
        (self.root / "failures.json").unlink(missing_ok=True)

    def unstage(self) -> None:
        """Forget what is staged: its note first, so that no note names what is gone. Raises OSError."""
        staged = self.staged()
        (self.root / "staged.json").unlink(missing_ok=True)
        if staged is not None:
            self.sweep(keep=None)

    def sweep(self, *, keep: str | None) -> None:
        """Delete downloads, but those of the version `keep`."""
        for entry in self.root.iterdir():
            if entry.is_dir() and entry.name != keep and not entry.is_symlink():
                shutil.rmtree(entry, ignore_errors=True)

    def _read(self, name: str) -> bytes:
        try:
            return read_regular(self.root / name, _MAX_BYTES)
        except OSError:
            return b""
