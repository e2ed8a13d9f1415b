"""The locks of a data directory, with the errors of this room (spec 07 C1, C9)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh_common import locks
from mesh_common.locks import FileLock
from myownmesh.store.errors import StoreError, os_error_text

if TYPE_CHECKING:
    from pathlib import Path

CONFIG_LOCK_WAIT = 2.0
"""Seconds; a save takes milliseconds, so a longer holder is stuck."""


class Held(StoreError):
    """Another process holds the lock. `pid` is what it wrote into the file, or None."""

    def __init__(self, path: Path, pid: int | None) -> None:
        self.path = path
        self.pid = pid
        holder = "another process" if pid is None else f"process {pid}"
        super().__init__(f"{path} is locked by {holder}")


def take(path: Path, *, wait: float = 0.0, note: bytes | None = None) -> FileLock:
    """The lock on `path`, taken within `wait` seconds, to be released by the caller.

    `note` is left in the file for the error message of the next one that comes. Raises `Held`, or `StoreError` when
    there can be no lock.
    """
    lock = FileLock(path)
    try:
        lock.acquire(wait=wait, note=note)
    except locks.Held as held:
        raise Held(path, _pid(held.note)) from held
    except OSError as error:
        raise StoreError(f"open lock file {path}: {os_error_text(error)}") from error
    return lock


def _pid(note: bytes) -> int | None:
    text = note[:32].strip()
    return int(text) if text.isdigit() else None
