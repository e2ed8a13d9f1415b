"""Locks on files that the kernel frees when their holder dies (spec 07 C1 and C9, 09 §6.2).

That a lock *file* exists means nothing, only the kernel's lock does. On a file system that has no locks a claim file
stands in, which its holder touches while it lives.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time

from mesh_common.files import read_regular

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mesh_common.claims import Claim

_POLL, _POLL_LATER = 0.01, 0.1  # seconds between tries: kernel locks know no wait with a time limit
_PATIENT_AFTER = 2.0
"""Seconds; whoever holds it for so long is not writing a small file."""
_NOTE_MAX_BYTES = 4096
_NO_LOCKS = frozenset({errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS})


class Held(OSError):
    """Somebody else has the lock. `note` is what its holder wrote into the file."""

    def __init__(self, path: Path, note: bytes) -> None:
        self.path, self.note = path, note
        super().__init__(errno.EWOULDBLOCK, "locked by another process", str(path))


class FileLock:
    """An exclusive lock on `path`, given back by `release`, by the end of a `with`, or with the process.

    The file stays when the lock is given back: unlinking it would let two processes in.
    """

    def __init__(self, path: Path, *, mode: int = 0o600) -> None:
        self.path = path
        self._mode = mode
        self._descriptor: int | None = None
        self._claim: Claim | None = None

    def try_acquire(self, note: bytes | None = None) -> bool:
        """Take the lock if it is free. `note` is left in the file for people. Raises OSError for an unusable path."""
        descriptor = self._open()
        with contextlib.ExitStack() as opened:
            opened.callback(os.close, descriptor)
            if not self._take(descriptor):
                return False
            opened.pop_all()  # `release` closes it from here on
        self._descriptor = descriptor
        if note is not None:
            with contextlib.suppress(OSError):  # a full disk: the lock holds without words
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, note, 0)
        return True

    def acquire(
        self, *, wait: float = 0.0, note: bytes | None = None, waiting: Callable[[float], None] | None = None
    ) -> None:
        """Take the lock within `wait` seconds.

        `waiting` is called with the seconds so far between tries; what it raises ends the wait. Raises `Held`, and
        another OSError for an unusable path.
        """
        began = time.monotonic()
        while not self.try_acquire(note):
            waited = time.monotonic() - began
            if waited >= wait:
                raise Held(self.path, read_note(self.path))
            if waiting is not None:
                waiting(waited)
            time.sleep(min(_POLL if waited < _PATIENT_AFTER else _POLL_LATER, wait - waited))

    def release(self) -> None:
        """Give the lock back; harmless when it is not held."""
        if self._claim is not None:
            self._claim.release()
            self._claim = None
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> FileLock:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def _open(self) -> int:
        return os.open(self.path, os.O_RDWR | os.O_CREAT, self._mode)

    def _take(self, descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            from mesh_common.claims import Claim  # hardly ever needed

            self._claim = Claim.make(self.path)
            return self._claim is not None
        return True


class FolderLock(FileLock):
    """An exclusive lock on a folder of others, where no file of ours has a place. It takes no note."""

    def _open(self) -> int:
        return os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)


def read_note(path: Path) -> bytes:
    """What the present or last holder wrote into the file of a lock; empty when that cannot be read."""
    try:
        return read_regular(path, _NOTE_MAX_BYTES)
    except OSError:
        return b""


def holder_note(path: Path) -> bytes | None:
    """What the holder of a lock wrote into its file; None when nobody holds it."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return read_note(path)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            return None
        from mesh_common.claims import Claim

        return read_note(path) if Claim.exists(path) else None
    finally:
        os.close(descriptor)
    return None
