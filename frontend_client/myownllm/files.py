"""The app's small files: written whole or not at all, read leniently, locked while they change (spec 08 FE-1.1-1.3)."""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING, Final

import msgspec

from mesh_common.files import read_regular, write_atomically
from mesh_common.locks import holder_note
from myownllm.errors import UnwritableHomeError
from myownllm.home import PRIVATE_FILE

if TYPE_CHECKING:
    from pathlib import Path

    from mesh_common.locks import FileLock
    from myownllm.coerce import Json

ASIDE: Final = ".corrupt"
"""Behind the name of a damaged file; a daemon does the same (spec 07 C3)."""
SMALL_BYTES: Final = 16 * 2**20
"""More than any of these files ever holds; a longer one is damaged."""
CHANGE_WAIT_S: Final = 10.0
"""A change of a file takes milliseconds; who holds its lock longer is stuck."""


def write_durably(path: Path, data: bytes) -> None:
    """Replace a private file as a whole. Raises OSError, old file intact."""
    write_atomically(path, data, mode=PRIVATE_FILE)


def read_json(path: Path) -> Json:
    """The JSON in a small file of ours, or None when it is missing or damaged."""
    try:
        return _json(read_regular(path, SMALL_BYTES))
    except OSError:
        return None


def read_state(path: Path) -> Json:
    """As `read_json`, for what no other file holds: a damaged one is renamed, so that the next save loses nothing."""
    try:
        data = read_regular(path, SMALL_BYTES)
    except OSError:
        return None
    value = _json(data)
    if value is None and data.strip() != b"null":
        with contextlib.suppress(OSError):
            path.rename(path.with_name(path.name + ASIDE))
    return value


def try_lock(lock: FileLock) -> bool:
    """Take a lock of this home, if it is free. Raises UnwritableHomeError where no lock can be made."""
    note = {"pid": os.getpid(), "started_at_ms": time.time_ns() // 1_000_000}
    try:
        return lock.try_acquire(msgspec.json.encode(note) + b"\n")
    except OSError as error:
        text = (
            f"cannot use {lock.path}: {error.strerror}; make the directory writable or set MYOWNLLM_HOME to another one"
        )
        raise UnwritableHomeError(text) from None


def lock_holder_note(path: Path) -> Json:
    """What the holder of a lock wrote into it, or None when nobody holds it."""
    note = holder_note(path)
    if note is None:
        return None
    known = _json(note)
    return known if known is not None else {}


def _json(data: bytes) -> Json:
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
