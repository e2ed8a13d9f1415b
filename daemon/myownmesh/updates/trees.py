"""The digest of a folder: names, contents, and which files are programs (spec 09 §10.5)."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from mesh_common.files import open_regular, sync, sync_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

CHUNK = 1024 * 1024


def file_digest(path: Path) -> str:
    """SHA-256 of a file, in hex. Raises OSError."""
    digest = hashlib.sha256()
    with open_regular(path) as file:
        while data := file.read(CHUNK):
            digest.update(data)
    return digest.hexdigest()


def tree_digest(folder: Path) -> str:
    """SHA-256 over every file below `folder`, in hex. Raises OSError, also for what is no plain file or folder."""
    digest = hashlib.sha256()
    for path in files_of(folder):
        program = bool(path.lstat().st_mode & 0o100)
        name = path.relative_to(folder).as_posix()
        digest.update(f"{int(program)} {file_digest(path)} {len(name.encode())} {name}\n".encode())
    return digest.hexdigest()


def files_of(folder: Path) -> Iterator[Path]:
    """Every file below a folder, in one order."""
    for parent, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            yield Path(parent, name)


def sync_tree(folder: Path) -> None:
    """Have all of a folder on the disk. Raises OSError."""
    for parent, _, names in os.walk(folder):
        for name in names:
            with Path(parent, name).open("rb") as file:
                sync(file.fileno())
        sync_folder(Path(parent))
