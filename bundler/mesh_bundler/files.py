"""Files, with errors that people understand."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os

from mesh_bundler.errors import Exit, Refused
from mesh_common.files import open_regular

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CHUNK = 1024 * 1024
"""Bytes per read: large enough that hashing, not Python, is the cost."""


def sha256_of(path: Path) -> str:
    """Hex digest of a whole file."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn OSError into the refusal that names the file and the way out (exit 10)."""
    try:
        yield
    except OSError as error:
        raise file_refusal(error, path) from error


def file_refusal(error: OSError, path: Path) -> Refused:
    """`no_space`, `permission` or `file_error`."""
    where = error.filename or path
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Refused("no_space", Exit.FILES, f"The disk with {where} is full.", hint="Free space and run again.")
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
