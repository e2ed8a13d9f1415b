"""Files that survive crashes, and locks that do not: durable writes, kernel locks (spec 08 FE-6.2, FE-1.3)."""

from __future__ import annotations

import contextlib
import fcntl
import os
from typing import TYPE_CHECKING

import msgspec

from myownllm.home import PRIVATE_FILE

if TYPE_CHECKING:
    from pathlib import Path

    from myownllm.catalog.coerce import Json


def write_durably(path: Path, data: bytes) -> None:
    """Replace a file as a whole: temp file in the same directory, synced, renamed. Raises OSError, old file intact."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, PRIVATE_FILE)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    _sync_directory(path.parent)


def _sync_directory(directory: Path) -> None:
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return  # some file systems do not let a directory be opened; the rename itself is done
    try:
        os.fsync(descriptor)
    except OSError:
        pass
    finally:
        os.close(descriptor)


def read_json(path: Path) -> Json:
    """The JSON in a small file of ours, or None when it is missing or damaged."""
    try:
        return msgspec.json.decode(path.read_bytes())
    except (OSError, msgspec.DecodeError, RecursionError):
        return None


class FileLock:
    """An advisory kernel lock on a file. It dies with its holder; that the file exists means nothing."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def try_acquire(self, note: Json = None) -> bool:
        """Take the lock if it is free; `note` is left in the file for people. Raises OSError for an unusable path."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE_FILE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        if note is not None:
            with contextlib.suppress(OSError):  # a full disk: the lock holds without words
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, msgspec.json.encode(note) + b"\n", 0)
        self._descriptor = descriptor
        return True

    def acquire(self) -> None:
        """Wait for the lock; only for holders that keep it for milliseconds. Raises OSError for an unusable path."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE_FILE)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        self._descriptor = descriptor

    def release(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> FileLock:
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def lock_holder_note(path: Path) -> Json:
    """What the holder of a lock wrote into it, or None when nobody holds it."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        note = read_json(path)
        return note if note is not None else {}
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return None
