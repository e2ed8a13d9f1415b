"""Where this device's files are (spec 07 §1); a place per file, so that nobody else joins path strings."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Mapping

WINDOWS_PIPE = r"\\.\pipe\myownmesh.sock"


class Home:
    """The data directory: ``MYOWNMESH_HOME``, else ``.myownmesh`` in the user's home, on every platform."""

    __slots__ = ("root",)

    def __init__(self, root: Path) -> None:
        self.root = root

    def __repr__(self) -> str:
        return f"Home({str(self.root)!r})"

    @classmethod
    def resolve(cls, environ: Mapping[str, str] = os.environ) -> Home:
        """Find the data directory without touching it. Raises `StoreError` when there is no home directory at all."""
        configured = environ.get("MYOWNMESH_HOME", "").strip()
        if configured:
            return cls(Path(configured))
        home = _user_home(environ)
        if home is None:
            raise StoreError("could not resolve user home directory (set MYOWNMESH_HOME to override)")
        return cls(Path(home, ".myownmesh"))

    @property
    def config(self) -> Path:
        """``config.json``."""
        return self.root / "config.json"

    @property
    def config_lock(self) -> Path:
        """Held during load, change and save of the configuration."""
        return self.root / "config.json.lock"

    @property
    def daemon_lock(self) -> Path:
        """Held for the life of ``serve``; its content is information only."""
        return self.root / "daemon.lock"

    @property
    def secrets(self) -> Path:
        """Directory of key material, mode 0700."""
        return self.root / ".secrets"

    @property
    def identity(self) -> Path:
        """The identity anchor."""
        return self.secrets / "identity.json"

    def roster(self, network_id: str) -> Path:
        """The roster of a network, by its normalised id."""
        return self.root / "mesh" / "rosters" / f"{network_id}.json"

    def state(self, network_id: str) -> Path:
        """The governance state of a network, by its normalised id."""
        return self.root / "mesh" / "states" / f"{network_id}.json"

    def socket(self, pinned: str | None = None) -> Path:
        """The control socket: `pinned` verbatim if the configuration names one, else the default place."""
        if pinned is not None:
            return Path(pinned)
        return self.root / "daemon.sock"


def _user_home(environ: Mapping[str, str]) -> str | None:
    if environ.get("HOME"):
        return environ["HOME"]
    import pwd  # only the rare daemon without HOME pays for the user database

    try:
        return pwd.getpwuid(os.getuid()).pw_dir or None
    except KeyError:
        return None
