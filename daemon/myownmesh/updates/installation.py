"""How this program is installed, and whether it may replace itself (spec 09 §10.2).

A single file is known by the mark that its native half leaves in the folder that it unpacks (spec 09 §11.2); that half
starts the daemon under its own path. A folder replaces itself where it is one of several:
``<prefix>/versions/<version>`` with the link ``<prefix>/current`` to it.
"""

from __future__ import annotations

import os
import struct
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from mesh_common.files import open_regular
from myownmesh.updates.owner import manager_of

if TYPE_CHECKING:
    from collections.abc import Mapping

_UNPACKED = ".complete"
_TRAILER, _MAGIC = struct.Struct("<64s64sQQQ8s"), b"MOMPACK1"
"""As scripts/release.d/pack.py writes them."""
_CONTAINER_MARKS = ("/.dockerenv", "/run/.containerenv")


class Installation(NamedTuple):
    """What is replaced by an update, and what keeps it from that."""

    kind: str
    """``file``, ``folder`` or ``source``."""
    program: Path
    """What is started: the single file, or the runtime behind ``current``."""
    managed: str | None = None
    """Why it does not replace itself; None when it may."""

    @property
    def folder(self) -> bool:
        return self.kind == "folder"

    @property
    def prefix(self) -> Path:
        """The folder that an update changes."""
        return self.program.parent.parent if self.folder else self.program.parent

    def version_folder(self, version: str) -> Path:
        """Where a folder of this version lies."""
        return self.prefix / "versions" / version

    @property
    def current(self) -> Path:
        """The link to the version in use."""
        return self.prefix / "current"

    @property
    def previous_file(self) -> Path:
        """Where a single file keeps the one before it."""
        return self.program.with_name(f"{self.program.name}.prev")

    def version_on_disk(self) -> str | None:
        """The version that the next start runs; None where that cannot be told."""
        if self.folder:
            try:
                return self.current.readlink().name
            except OSError:
                return None
        return packed_version(self.program)


def packed_version(path: Path) -> str | None:
    """What the trailer of a single file says that it is; None for what is none."""
    try:
        with open_regular(path) as file:
            file.seek(-_TRAILER.size, os.SEEK_END)
            version, *_, magic = _TRAILER.unpack(file.read(_TRAILER.size))
            return version.rstrip(b"\0").decode() if magic == _MAGIC else None
    except (OSError, ValueError):
        return None


def find(environ: Mapping[str, str]) -> Installation:
    """This program's installation. Never raises: what cannot be told is somebody else's."""
    if not getattr(sys, "frozen", False):
        why = "it runs from a Python installation, so pip, pipx, uv or whoever made that updates it"
        return Installation("source", Path(sys.executable), why)
    unpacked = Path(sys.prefix)
    if (unpacked / _UNPACKED).exists():
        found = Installation("file", Path(os.path.realpath(sys.executable)))
    else:
        real = unpacked.resolve()
        prefix = real.parent.parent
        found = Installation("folder", prefix / "current" / "myownmesh")
        # Behind the link may be a newer one by now, which runs from the next start on.
        if real.parent.name != "versions" or os.path.dirname(os.path.realpath(found.current)) != str(real.parent):  # noqa: PTH120
            why = f"{real} is not the folder behind a link named current, as docs/updates.md has it"
            return found._replace(program=real / "myownmesh", managed=why)
    return found._replace(managed=keeper(found, environ))


def keeper(found: Installation, environ: Mapping[str, str]) -> str | None:
    """Who keeps this program from replacing itself, in words; None when nobody does."""
    path = str(found.program)
    said = environ.get("MYOWNMESH_MANAGED", "").strip()
    if said not in ("", "0"):
        return "MYOWNMESH_MANAGED says that somebody else updates it"
    if (name := manager_of(path)) is not None:
        return f"{name} owns {path}"
    if any((parent / "conda-meta").is_dir() for parent in found.program.parents):
        return f"conda owns {path}"
    if said != "0" and any(os.path.exists(mark) for mark in _CONTAINER_MARKS):  # noqa: PTH110 - asked at each start
        return "it runs in a container, whose image is updated as a whole (MYOWNMESH_MANAGED=0 says otherwise)"
    if any(found.program.parent.glob(".bundled-*.json")):
        return f"an app brought {path} along and updates it"
    folders = [found.prefix, found.prefix / "versions"] if found.folder else [found.prefix]
    if blocked := next((str(each) for each in folders if not os.access(each, os.W_OK | os.X_OK)), None):
        return f"{blocked} is not writable for this user"
    return None
