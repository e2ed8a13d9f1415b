"""The slot: the file a packager picks up, changed by rename only (spec 09 §6).

At every instant the slot is the old file or the new file. The order of writes is chosen so that a crash between any
two of them leaves at worst a record that does not fit, which means "stage again", never a wrong "current". What writes
is loaded by the methods that write: `check` only looks.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import time
from dataclasses import dataclass

from mesh_bundler import files
from mesh_bundler.errors import Exit, Refused
from mesh_bundler.record import RECORD_MAX_BYTES, SlotFacts, parse_record
from mesh_common.files import read_regular

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mesh_bundler.record import Record

MARKER = ".bundled-rev"
"""What the reference's bundlers read; one file for all triples, so never evidence alone."""
_MODE = 0o644
"""Of the files beside the slot; packagers of other users read them."""
_SWEEP_AFTER = 3600.0
"""Seconds; a temp file of a dead process that old belongs to nobody."""


@dataclass(frozen=True, slots=True)
class Slot:
    """Where one target's daemon goes, with its companions."""

    dest: Path
    triple: str
    file_name: str
    name: str  # base name of the tool

    @property
    def path(self) -> Path:
        return self.dest / self.file_name

    @property
    def record_path(self) -> Path:
        return self.dest / f".bundled-{self.triple}.json"

    @property
    def lock_path(self) -> Path:
        return self.dest / f".bundle-{self.triple}.lock"

    @property
    def marker_path(self) -> Path:
        return self.dest / MARKER

    def facts(self) -> SlotFacts | None:
        """Size and time; None when absent. Refuses a link or a folder: following one would write somewhere else."""
        try:
            found = self.path.lstat()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise files.file_refusal(error, self.path) from error
        if not stat.S_ISREG(found.st_mode):
            raise Refused(
                "slot_not_a_file",
                Exit.FILES,
                f"The slot {self.path} is not a regular file.",
                hint="Remove it, or name another folder with --dest.",
                slot=str(self.path),
            )
        return SlotFacts(found.st_size, found.st_mtime_ns)

    def record(self) -> Record | None:
        try:
            return parse_record(read_regular(self.record_path, RECORD_MAX_BYTES + 1))
        except OSError:
            return None

    def marker(self) -> str | None:
        try:
            return read_regular(self.marker_path, 200).decode("utf-8", "replace")
        except OSError:
            return None

    def sweep(self) -> None:
        """Remove what dead runs left behind."""
        from mesh_common.processes import alive

        names = (f".{self.name}-{self.triple}.*.incoming*", f"{self.record_path.name}.*.tmp", f"{MARKER}.*.tmp")
        for pattern in names:
            for path in self.dest.glob(pattern):
                with contextlib.suppress(OSError):
                    pid = _pid_of(path.name)
                    aged = time.time() - path.stat().st_mtime > _SWEEP_AFTER
                    if aged or pid is None or not alive(pid):
                        path.unlink()

    @contextlib.contextmanager
    def incoming(self) -> Iterator[Incoming]:
        """A temp file beside the slot, gone again unless it was committed."""
        from mesh_common import files as durable

        path = self.dest / f".{self.name}-{self.triple}.{durable.unique()}.incoming"
        with files.explained(path):
            self.dest.mkdir(parents=True, exist_ok=True)
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        temp = Incoming(path, handle)
        try:
            yield temp
        finally:
            temp.close()
            path.unlink(missing_ok=True)

    def commit(self, temp: Incoming, record: Record, marker: str | None) -> None:
        """Put the verified temp file into the slot, then the marker, then the record."""
        from mesh_common import files as durable

        with files.explained(self.path):
            # First of all the marker goes: it must never vouch for a file that it was not written for.
            self.marker_path.unlink(missing_ok=True)
            note = durable.write_beside(self.record_path, record.to_bytes(), mode=_MODE)
            try:
                temp.path.replace(self.path)
                durable.sync_folder(self.dest)
                if marker is not None:
                    durable.write_atomically(self.marker_path, marker.encode(), mode=_MODE)
                # The record is last: whatever a crash left undone before it, the next run does again.
                note.replace(self.record_path)
            finally:
                note.unlink(missing_ok=True)
            durable.sync_folder(self.dest)

    def refresh_record(self, record: Record) -> None:
        """Write the record alone, for a slot that is what it should be."""
        from mesh_common import files as durable

        with files.explained(self.record_path):
            durable.write_atomically(self.record_path, record.to_bytes(), mode=_MODE)

    def write_stub(self, *, move_aside: bool) -> Path | None:
        """An empty executable file in the slot; returns where the old daemon went, if there was one."""
        from mesh_common import files as durable

        with files.explained(self.path):
            self.marker_path.unlink(missing_ok=True)
            self.record_path.unlink(missing_ok=True)
            aside = self.path.with_name(self.path.name + ".stale") if move_aside else None
            if aside is not None:
                durable.keep_copy(self.path, aside)
            with self.incoming() as temp:
                temp.finish()
                temp.path.replace(self.path)
            durable.sync_folder(self.dest)
            return aside


class Incoming:
    """The temp file: written, hashed, synced and made executable before anybody may rename it."""

    def __init__(self, path: Path, handle: int) -> None:
        self.path = path
        self._file = os.fdopen(handle, "wb")
        self._hash = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> None:
        self._file.write(data)
        self._hash.update(data)
        self.size += len(data)

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    def finish(self) -> SlotFacts:
        """Everything is on disk and executable; no handle of ours keeps it busy."""
        from mesh_common import files as durable

        self._file.flush()
        durable.sync(self._file.fileno())
        self._make_executable()
        self._file.close()
        found = self.path.stat()
        return SlotFacts(found.st_size, found.st_mtime_ns, self.sha256)

    def close(self) -> None:
        self._file.close()

    def _make_executable(self) -> None:
        """Where modes cannot be changed, every file may be executable already, or none ever."""
        try:
            os.fchmod(self._file.fileno(), 0o755)
        except OSError as error:
            if not os.access(self.path, os.X_OK):
                raise Refused(
                    "not_executable",
                    Exit.FILES,
                    f"The file system of {self.path.parent} does not let a file be made executable ({error.strerror}).",
                    hint="Name a folder on another file system with --dest.",
                ) from error


def _pid_of(name: str) -> int | None:
    """The process id in `<anything>.<pid>-<hex>.<suffix>`."""
    for part in name.split("."):
        head, dash, tail = part.partition("-")
        if dash and head.isdigit() and len(tail) == 8:
            return int(head)
    return None
