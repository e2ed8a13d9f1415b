"""Where a daemon listens, for programs that know nothing else of its files (spec 05 §1.1, 07 §1 and C13)."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mesh_common.client.errors import ControlError, ErrorKind
from mesh_common.client.protocol import decode
from mesh_common.files import read_regular
from mesh_common.handwritten import without_mark

if TYPE_CHECKING:
    from collections.abc import Mapping

SYSTEM_SOCKET: Final = (
    "/Library/Application Support/MyOwnMesh/daemon.sock"
    if sys.platform == "darwin"
    else "/var/lib/myownmesh/daemon.sock"
)
"""Where a daemon of the system service keeps its socket (spec 07 §7)."""

NEWEST_CONFIG: Final = 3
"""Version of `config.json` that this release writes; a newer file is not understood, so it pins nothing."""

_MAX_CONFIG_BYTES: Final = 64 << 20
"""A larger file is none of ours, and what is cut off there does not load."""


class NoHome(ControlError):
    """There is no home directory, and nothing names another one."""

    def __init__(self) -> None:
        text = "could not resolve user home directory (set MYOWNMESH_HOME to override)"
        super().__init__(ErrorKind.CONNECT_FAILED, text)


def data_directory(environ: Mapping[str, str] = os.environ) -> Path:
    """``MYOWNMESH_HOME``, else ``.myownmesh`` in the user's home; nothing is touched. Raises `NoHome`."""
    configured = environ.get("MYOWNMESH_HOME", "").strip()
    if configured:
        return Path(configured)
    home = user_home(environ)
    if home is None:
        raise NoHome
    return home / ".myownmesh"


def user_home(environ: Mapping[str, str] = os.environ) -> Path | None:
    """The home of whoever runs this: ``HOME``, else what the user database says; None for a user that has neither."""
    home = environ.get("HOME") or _registered_home()
    return None if home is None else Path(home)


def pinned_socket(config: Path) -> str | None:
    """The path in ``daemon.control_socket`` of the file `config`.

    None when the file is absent, does not load, is too new or pins nothing: a client then tries the default place.
    """
    try:
        value = decode(without_mark(read_regular(config, _MAX_CONFIG_BYTES)).decode())
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(value, dict):
        return None
    version = value.get("version", NEWEST_CONFIG)
    daemon = value.get("daemon")
    if not isinstance(version, int) or version > NEWEST_CONFIG or not isinstance(daemon, dict):
        return None
    pinned = daemon.get("control_socket")
    return pinned if isinstance(pinned, str) and _names_a_file(pinned) else None


def _names_a_file(text: str) -> bool:
    """No NUL, and no half of a surrogate pair that no file name decodes to."""
    try:
        return b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        return False


def addresses(environ: Mapping[str, str] = os.environ) -> list[str]:
    """Where a daemon may listen, most specific first. Raises `NoHome`."""
    home = data_directory(environ)
    pinned = pinned_socket(home / "config.json")
    found = [str(home / "daemon.sock") if pinned is None else pinned]
    if not environ.get("MYOWNMESH_HOME", "").strip():
        found.append(SYSTEM_SOCKET)
    return found


def _registered_home() -> str | None:
    import pwd  # only the rare program without HOME pays for the user database

    try:
        return pwd.getpwuid(os.getuid()).pw_dir or None
    except KeyError:
        return None
