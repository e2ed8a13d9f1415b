"""Durable files: replace a file as a whole, or set a bad one aside (spec 07 §3, 01 §18).

A reader always finds the old text or the new one, also after a power cut. Modes never get looser than 0600 for
what we create, and never looser than what a person set by hand.
"""

from __future__ import annotations

import contextlib
import logging
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from mesh_common.client.address import user_home
from mesh_common.files import read_regular, write_atomically
from myownmesh.store.errors import StoreError, os_error_text

if TYPE_CHECKING:
    from collections.abc import Iterable

PRIVATE_FILE = 0o600
PRIVATE_DIRECTORY = 0o700
KEPT_COPIES = 9
"""Numbered quarantine copies behind the newest one; enough to look back, bounded on a sick disk."""

log = logging.getLogger(__name__)


def private_directory(path: Path) -> None:
    """Make sure that `path` is a directory; one that is created can be entered by its owner only.

    Raises `StoreError` when it cannot be created.
    """
    try:
        path.mkdir(mode=PRIVATE_DIRECTORY, parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"create directory {path}: {os_error_text(error)}") from error


def tighten(path: Path, *, passers_by: int = 0) -> None:
    """Take a directory of ours away from other users (spec 07 C8); best effort.

    `passers_by` are permission bits of others that stay or are added, such as 0o010 for a group that must reach the
    control socket inside. Directories that are shared on purpose are left alone, whatever somebody has configured:
    those of other owners, with a sticky bit, the root, and a person's home.
    """
    shared_places = {"/", os.path.realpath(user_home() or "/")}
    with contextlib.suppress(OSError):
        status = path.stat()
        mode = stat.S_IMODE(status.st_mode)
        shared = mode & stat.S_ISVTX or os.path.realpath(path) in shared_places
        wanted = PRIVATE_DIRECTORY | passers_by
        if status.st_uid == os.getuid() and not shared and mode != wanted:
            path.chmod(wanted)


def tighten_file(path: Path) -> None:
    """Take a key file of ours away from other users; a stricter mode stays. Best effort."""
    with contextlib.suppress(OSError):
        status = path.stat()
        mode = stat.S_IMODE(status.st_mode)
        if status.st_uid == os.getuid() and mode & ~0o600:
            path.chmod(mode & 0o600)


def atomic_write(path: Path, data: bytes | Iterable[bytes]) -> None:
    """Replace the file at `path` by `data`, whole or in pieces, or leave it exactly as it was.

    A symlink keeps pointing where it did: its target is replaced. A mode stricter than 0600 is kept. The parent
    directory must exist. Raises `OSError`.
    """
    target = Path(os.path.realpath(path))
    mode = PRIVATE_FILE
    with contextlib.suppress(FileNotFoundError):
        mode &= stat.S_IMODE(target.stat().st_mode)
    write_atomically(target, data, mode=mode)


def quarantine(path: Path, reason: str) -> Path | None:
    """Move a corrupt file out of the way; returns where it is now, or None when it could not be moved.

    The newest copy is ``NAME.corrupt``; older ones are ``NAME.corrupt.1`` and up, at most `KEPT_COPIES`.
    """
    copy = path.with_name(path.name + ".corrupt")
    try:
        _rotate(copy)
        path.replace(copy)
    except OSError as error:
        log.error("%s is corrupt (%s) and could not be set aside: %s", path, reason, os_error_text(error))
        return None
    log.error("%s is corrupt (%s); set aside as %s", path, reason, copy)
    return copy


def set_copy_aside(path: Path, data: bytes, reason: str) -> Path | None:
    """Keep a copy of a file of which only a part is bad; the file itself stays. Returns the copy's place.

    A copy equal to the newest one is not made again, so that restarts do not push older evidence out.
    """
    copy = path.with_name(path.name + ".corrupt")
    try:
        if copy.exists() and read_regular(copy, len(data) + 1) == data:
            return copy
        _rotate(copy)
        atomic_write(copy, data)
    except OSError as error:
        log.error("part of %s is unusable (%s) and no copy could be kept: %s", path, reason, os_error_text(error))
        return None
    log.error("part of %s is unusable (%s); a copy of the file is kept as %s", path, reason, copy)
    return copy


def _rotate(newest: Path) -> None:
    if not newest.exists():
        return
    for number in range(KEPT_COPIES - 1, 0, -1):
        older = newest.with_name(f"{newest.name}.{number}")
        if older.exists():
            older.replace(newest.with_name(f"{newest.name}.{number + 1}"))
    newest.replace(newest.with_name(f"{newest.name}.1"))
