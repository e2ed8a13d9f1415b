"""Kernel locks on files: held by a process, gone with it, whatever way it dies (spec 07 C1, C9).

The existence of a lock file means nothing; only the kernel's lock does.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from typing import TYPE_CHECKING

from .errors import StoreError, os_error_text
from .files import PRIVATE_FILE

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

CONFIG_LOCK_WAIT = 2.0  # seconds; a save takes milliseconds, so a longer holder is stuck
_POLL = 0.01  # seconds between tries


class Held(StoreError):
    """Another process holds the lock. `pid` is what it wrote into the file, or None."""

    def __init__(self, path: Path, pid: int | None) -> None:
        self.path = path
        self.pid = pid
        holder = "another process" if pid is None else f"process {pid}"
        super().__init__(f"{path} is locked by {holder}")


class FileLock:
    """An exclusive lock on `path`: taken with `acquire`, given back by `release`, `with`, or the end of the process."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    def acquire(self, *, wait: float = 0.0) -> None:
        """Take the lock within `wait` seconds. Raises `Held`, or `StoreError` when the file cannot be opened."""
        try:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), PRIVATE_FILE)
        except OSError as error:
            raise StoreError(f"open lock file {self.path}: {os_error_text(error)}") from error
        deadline = time.monotonic() + wait
        while not _try_lock(descriptor):
            if time.monotonic() >= deadline:
                os.close(descriptor)
                raise Held(self.path, holder_pid(self.path))
            time.sleep(_POLL)
        self._descriptor = descriptor

    def write_holder(self) -> None:
        """Write this process's id into the file, for the error message of the next one that comes."""
        if self._descriptor is None:
            raise RuntimeError("the lock is not held")
        with contextlib.suppress(OSError):  # information only: a full disk must not stop a daemon that has the lock
            os.ftruncate(self._descriptor, 0)
            os.lseek(self._descriptor, 0, os.SEEK_SET)
            os.write(self._descriptor, f"{os.getpid()}\n".encode())

    def release(self) -> None:
        """Give the lock back. Harmless when it is not held. The file stays: unlinking it would let two processes in."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> FileLock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()


def holder_pid(path: Path) -> int | None:
    """The process id written into a lock file, if it holds one."""
    try:
        text = path.read_text("ascii", "replace")[:32].strip()
    except OSError:
        return None
    return int(text) if text.isascii() and text.isdigit() else None


if sys.platform == "win32":
    import msvcrt

    # Far behind any content, so that others can still read the holder's id.
    _LOCKED_BYTE = 1 << 30

    def _try_lock(descriptor: int) -> bool:
        os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _try_lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
