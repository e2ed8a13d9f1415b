"""Where this device's files are (spec 07 §1); a place per file, so that nobody else joins path strings."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from mesh_common.client.address import NoHome, data_directory
from myownmesh.store.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Mapping


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
        try:
            return cls(data_directory(environ))
        except NoHome as error:
            raise StoreError(str(error)) from error

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
    def erasure(self) -> Path:
        """What is being deleted, until all of it is."""
        return self.root / "erasure.json"

    @property
    def secrets(self) -> Path:
        """Directory of key material, mode 0700."""
        return self.root / ".secrets"

    @property
    def identity(self) -> Path:
        """The identity anchor."""
        return self.secrets / "identity.json"

    @property
    def custody(self) -> Path:
        """The authenticator locks, as the reference keeps them."""
        return self.secrets / "custody.json"

    @property
    def custody_marks(self) -> Path:
        """Which locks there are and how their codes were used; only this implementation writes it (spec 02 FIX 27)."""
        return self.secrets / "custody.enrolled"

    @property
    def turn_keys(self) -> Path:
        """What the hosted TURN server's time-limited passwords are made with, and who has some (spec 06 M)."""
        return self.secrets / "turn.json"

    def roster(self, network_id: str) -> Path:
        """The roster of a network, by its normalised id."""
        return self.root / "mesh" / "rosters" / f"{network_id}.json"

    def state(self, network_id: str) -> Path:
        """The governance state of a network, by its normalised id."""
        return self.root / "mesh" / "states" / f"{network_id}.json"

    def pin(self, network_id: str) -> Path:
        """What this device holds a network to, by its normalised id (spec 02 §24.2)."""
        return self.root / "mesh" / "pins" / f"{network_id}.json"

    def audit(self, network_id: str) -> Path:
        """What was signed in a network, in the order in which this device saw it, by its normalised id."""
        return self.root / "mesh" / "audit" / f"{network_id}.jsonl"

    def invites(self, network_id: str) -> Path:
        """The invitations of a network, by its normalised id; they hold secrets."""
        return self.root / "mesh" / "invites" / f"{network_id}.json"

    def offers(self, network_id: str) -> Path:
        """Services of members that this device uses, by the network's normalised id (spec 06 K)."""
        return self.root / "mesh" / "offers" / f"{network_id}.json"

    @property
    def recordings(self) -> Path:
        """Directory of what `ctl record` wrote."""
        return self.root / "recordings"

    def socket(self, pinned: str | None = None) -> Path:
        """The control socket: `pinned` verbatim if the configuration names one, else ``daemon.sock``."""
        return self.root / "daemon.sock" if pinned is None else Path(pinned)
