"""Durable files: a reader finds the old content or the new one, whenever the power goes (spec 07 §3, 09 §6)."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from io import BufferedReader
    from pathlib import Path

LEFTOVER_AGE = 60.0
"""Seconds; a write takes milliseconds, so an older temporary file is a killed writer's."""

_LEFTOVER = r"\.(?:[0-9]+-[0-9a-f]{8}|[0-9a-f]{12}|[0-9]+)\.tmp\Z"
"""Ours, and those of earlier releases."""
_UNSYNCED = frozenset({errno.EINVAL, errno.EBADF, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EACCES})


def open_regular(path: Path) -> BufferedReader:
    """A file, to be read. Raises OSError, also for a pipe or a device, which may never begin or end."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with contextlib.ExitStack() as opened:
        opened.callback(os.close, descriptor)
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        file = os.fdopen(descriptor, "rb")
        opened.pop_all()  # the file closes it from here on
    return file


def read_regular(path: Path, limit: int) -> bytes:
    """The first `limit` bytes of a file. Raises OSError as `open_regular` does."""
    with open_regular(path) as file:
        return file.read(limit)


def write_atomically(path: Path, data: bytes | Iterable[bytes], *, mode: int) -> None:
    """Replace the file at `path` by `data`, whole or in pieces, or leave it exactly as it was.

    The new file has `mode` less the umask, whatever the old one had, and a link at `path` is replaced, not followed.
    The folder must exist. Raises `OSError`.
    """
    temporary = write_beside(path, data, mode=mode)
    try:
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def write_beside(path: Path, data: bytes | Iterable[bytes], *, mode: int) -> Path:
    """The first half of `write_atomically`: a synced file next to `path`, whose name no other writer shares."""
    temporary = path.with_name(f"{path.name}.{unique()}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with contextlib.ExitStack() as unfinished:
        unfinished.callback(_discard, temporary)
        with os.fdopen(descriptor, "wb") as file:
            file.writelines([data] if isinstance(data, bytes) else data)
            file.flush()
            sync(file.fileno())
        unfinished.pop_all()
    return temporary


def _discard(temporary: Path) -> None:
    with contextlib.suppress(OSError):
        temporary.unlink()


def sync(descriptor: int) -> None:
    """Have a file or folder on the disk, where the file system can be asked for that. Raises `OSError`."""
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _UNSYNCED:
            raise


def keep_copy(path: Path, copy: Path) -> None:
    """Give a file's content a second name, replacing what had that name; `path` is there all the time.

    A second link where the file system has links, else a copy. Raises `OSError`, and then `copy` is what it was.
    """
    temporary = path.with_name(f"{copy.name}.{unique()}.tmp")
    try:
        try:
            temporary.hardlink_to(path)
        except OSError:
            import shutil  # hardly ever needed

            temporary.unlink(missing_ok=True)  # a link that was made and reported as failed
            shutil.copy2(path, temporary)
            with temporary.open("rb") as file:
                sync(file.fileno())
        temporary.replace(copy)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(copy.parent)


def unique() -> str:
    """Part of a name that no other writer has: the process, for whoever cleans up, and 32 random bits."""
    return f"{os.getpid()}-{os.urandom(4).hex()}"


def sync_folder(folder: Path) -> None:
    """Make the renames in a folder survive a power cut, where the file system lets a folder be opened and synced.

    Raises `OSError` only for a disk that fails: what was renamed may then be undone.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return  # not readable for us; the rename itself is done
    try:
        sync(descriptor)
    finally:
        os.close(descriptor)


def remove_leftovers(folder: Path, now: float) -> None:
    """Delete the temporary files that killed writers left in `folder`; best effort.

    `now` is in Unix seconds. Young ones may belong to a writer that is at work.
    """
    with contextlib.suppress(OSError):
        for entry in folder.iterdir():
            if re.search(_LEFTOVER, entry.name) and now - entry.lstat().st_mtime > LEFTOVER_AGE:
                entry.unlink(missing_ok=True)
