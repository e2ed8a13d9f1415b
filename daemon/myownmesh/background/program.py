"""Which program a service runs, and whether its user can."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from myownmesh.background.service import SYSTEM_COPY

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

OF_THE_SYSTEM: Final = tuple(map(Path, ("/usr", "/opt", "/bin", "/sbin")))
"""A program in one of these is run where it is."""
HIDDEN: Final = tuple(map(Path, ("/home", "/root", "/run/user", "/tmp", "/var/tmp")))
"""What a service with ``ProtectHome`` and ``PrivateTmp`` does not see."""


def wants_copy(program: Path) -> bool:
    """Whether the system's service runs a copy of this single file."""
    return not any(program.is_relative_to(place) for place in OF_THE_SYSTEM)


def runs_from(words: Sequence[str]) -> set[Path]:
    """The files and folders that an installation in Python runs from."""
    return {Path(each) for each in (words[0], sys.executable, sys.prefix, sys.base_prefix)}


def out_of_reach(paths: Iterable[Path]) -> Path | None:
    """The first of them that a user of its own cannot run a program from; None when there is none."""
    for path in sorted(paths):
        for each in {path.absolute(), Path(os.path.realpath(path))}:
            if any(each.is_relative_to(place) for place in HIDDEN):
                return path
            if not all(_is_open(folder) for folder in (each, *each.parents)):
                return path
    return None


def place_copy(program: Path) -> bool:
    """Copy a single file to where the system's service runs it; False when the very same is there. Raises `OSError`."""
    from mesh_common.files import write_atomically

    content = program.read_bytes()
    SYSTEM_COPY.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    if SYSTEM_COPY.is_file() and SYSTEM_COPY.read_bytes() == content:
        return False
    write_atomically(SYSTEM_COPY, content, mode=0o755)
    SYSTEM_COPY.chmod(0o755)
    return True


def remove_copy() -> None:
    """Take it away, and its folder when that is empty then. Raises `OSError`."""
    SYSTEM_COPY.unlink(missing_ok=True)
    if SYSTEM_COPY.parent.is_dir() and not any(SYSTEM_COPY.parent.iterdir()):
        SYSTEM_COPY.parent.rmdir()


def _is_open(path: Path) -> bool:
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return bool(mode & stat.S_IXOTH) if path.is_dir() else bool(mode & stat.S_IROTH)
