"""Small file operations that are either done or not done, with errors that people understand."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import sys
import time

from mesh_bundler.errors import Exit, Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

CHUNK = 1024 * 1024  # bytes per read: large enough that hashing, not Python, is the cost

_BUSY_ERRORS = frozenset({5, 32, 33})  # Windows: access denied, sharing violation, lock violation
_BUSY_ATTEMPTS = 10
_BUSY_DELAY, _BUSY_DELAY_MAX = 0.2, 5.0  # seconds; about 26 in all


def sha256_of(path: Path) -> str:
    """Hex digest of a whole file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn OSError into the refusal that names the file and the way out (exit 10)."""
    try:
        yield
    except OSError as error:
        raise file_refusal(error, path) from error


def file_refusal(error: OSError, path: Path) -> Refused:
    """`no_space`, `permission`, `slot_busy` or `file_error`."""
    where = error.filename or path
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Refused("no_space", Exit.FILES, f"The disk with {where} is full.", hint="Free space and run again.")
    if getattr(error, "winerror", None) in _BUSY_ERRORS:
        return Refused(
            "slot_busy",
            Exit.FILES,
            f"Another program keeps {where} open.",
            hint="Close the app or the packager that uses it and run again.",
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return Refused(
            "permission",
            Exit.FILES,
            f"{where} cannot be written: {os.strerror(error.errno)}.",
            hint="Make the folder writable for this user, or name another one with --dest.",
        )
    return Refused(
        "file_error", Exit.FILES, f"{where}: {error.strerror or error}.", hint="Check the path and run again."
    )


def sync_folder(folder: Path) -> None:
    """Make renames in a folder survive a power loss (POSIX; Windows has no such call)."""
    if sys.platform == "win32":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EBADF):  # some network file systems refuse
            raise
    finally:
        os.close(handle)


def write_atomically(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Temp file, fsync, rename, fsync of the folder."""
    temp = write_beside(path, data, mode=mode)
    try:
        replace(temp, path)
    except BaseException:
        temp.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write_beside(path: Path, data: bytes, *, mode: int = 0o644) -> Path:
    """The first half of `write_atomically`: a synced temp file next to `path`."""
    temp = path.with_name(f"{path.name}.{os.getpid()}-{os.urandom(4).hex()}.tmp")
    handle = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        temp.unlink(missing_ok=True)
        raise
    return temp


def replace(source: Path, target: Path, *, sleep: Callable[[float], None] = time.sleep) -> None:
    """Rename over `target`, waiting for programs that hold it open on Windows (spec 09 §6.4)."""
    delay = _BUSY_DELAY
    for attempt in range(_BUSY_ATTEMPTS):
        try:
            source.replace(target)
        except OSError as error:
            if getattr(error, "winerror", None) not in _BUSY_ERRORS:
                raise
            if attempt == _BUSY_ATTEMPTS - 1:
                _replace_sideways(source, target)
                return
            sleep(delay)
            delay = min(delay * 2, _BUSY_DELAY_MAX)
        else:
            return


def _replace_sideways(source: Path, target: Path) -> None:
    """A running program can be renamed on Windows though not replaced; the next run deletes the old one."""
    old = target.with_name(target.name + ".old")
    old.unlink(missing_ok=True)
    target.rename(old)
    try:
        source.rename(target)
    except OSError:
        old.rename(target)
        raise
