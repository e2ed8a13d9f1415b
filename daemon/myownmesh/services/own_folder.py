"""A folder for as long as a service runs. What a killed daemon left of one goes when the next one comes."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mesh_common.locks import FileLock

if TYPE_CHECKING:
    from collections.abc import Iterator

_OWNER: Final = "owner"
"""The file that whoever uses the folder holds locked."""
_BEGUN_S: Final = 60.0
"""Whoever makes a folder has locked it by then."""


@contextmanager
def own_folder(prefix: str) -> Iterator[str]:
    """An empty one of nobody else's, below the system's folder for such; those of the same prefix without an owner go.

    Raises OSError when it cannot be made.
    """
    _clear(prefix)
    folder = tempfile.mkdtemp(prefix=prefix)
    try:
        with FileLock(Path(folder, _OWNER)) as lock:
            lock.acquire()
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _clear(prefix: str) -> None:
    for folder in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
        with contextlib.suppress(OSError):  # it is somebody else's, or goes at this very moment
            if _is_left(folder):
                shutil.rmtree(folder)


def _is_left(folder: Path) -> bool:
    seen = folder.lstat()
    if folder.is_symlink() or not folder.is_dir() or seen.st_uid != os.getuid():
        return False
    owner = folder / _OWNER
    if not owner.is_file():
        return time.time() - seen.st_mtime > _BEGUN_S and not any(folder.iterdir())
    with FileLock(owner) as lock:
        return lock.try_acquire()
