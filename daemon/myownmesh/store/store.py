"""The data directory of a running node: locked for its life, one method per thing that is kept."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from typing import TYPE_CHECKING

from mesh_common.client.address import pinned_socket
from mesh_common.files import remove_leftovers
from myownmesh.store import config_file, identity_file, roster_file
from myownmesh.store.errors import StoreError, os_error_text
from myownmesh.store.files import atomic_write, private_directory, tighten, tighten_file
from myownmesh.store.locks import Held, take

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from types import TracebackType

    from mesh_common.locks import FileLock
    from myownmesh.governance.book import Book as Governance
    from myownmesh.governance.history import Arrival
    from myownmesh.identity import Identity
    from myownmesh.invitations.book import Accepted, Book
    from myownmesh.roster import Roster
    from myownmesh.store.config import MeshConfig
    from myownmesh.store.config_file import LoadedConfig
    from myownmesh.store.erasure import Doomed
    from myownmesh.store.governance_files import GovernanceFiles
    from myownmesh.store.offers_file import OfferRecord
    from myownmesh.store.paths import Home
    from myownmesh.store.turn_file import TurnKeys

log = logging.getLogger(__name__)

KEPT_RECORDINGS = 16
"""Some megabytes each at most."""


class AlreadyRunning(StoreError):
    """Another node holds this data directory. `pid` is its process, or None when it did not say."""

    def __init__(self, home: Home, pid: int | None) -> None:
        self.pid = pid
        holder = "another process" if pid is None else f"process {pid}"
        socket = home.socket(pinned_socket(home.config))
        super().__init__(
            f"{home.root} is in use by {holder} (control socket {socket}); "
            "stop that daemon first, or set MYOWNMESH_HOME to another directory"
        )


class Store:
    """Files of one node. Every method blocks for a disk access and may be called from a worker thread.

    All errors are `StoreError`, whose texts carry the class prefixes of spec 05 §4 (``config: ``, ``identity: ``, …).
    """

    def __init__(self, home: Home, lock: FileLock | None = None) -> None:
        self.home = home
        self._lock = lock
        self._last_config: MeshConfig | None = None

    def close(self) -> None:
        """Let another node have the directory."""
        if self._lock is not None:
            self._lock.release()

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def protect(self, *, group: str | None = None, everyone: bool = False) -> None:
        """Close the directory to other users, but for the way to a control socket that a `group` or `everyone` may use.

        Key material stays closed in any case. A group that cannot be given the directory is the socket's error to tell.
        """
        tighten(self.home.root, passers_by=0o011 if everyone else 0o010 if group else 0)
        if group is not None:
            import shutil  # most directories are one user's

            with contextlib.suppress(LookupError, OSError):
                shutil.chown(self.home.root, group=group)
        if self.home.secrets.is_dir():
            tighten(self.home.secrets)
        tighten_file(self.home.identity)

    def remove_leftovers(self) -> None:
        """Delete temporary files of writers that were killed; one of them may hold a copy of the key."""
        now = time.time()
        for path in (
            self.home.config,
            self.home.identity,
            self.home.roster("x"),
            self.home.state("x"),
            self.home.pin("x"),
            self.home.audit("x"),
            self.home.invites("x"),
            self.home.offers("x"),
        ):
            remove_leftovers(path.parent, now)

    def open_config(self) -> LoadedConfig:
        """Read the configuration at start: what is corrupt is set aside and reported."""
        loaded = config_file.load_config(self.home, quarantine_corrupt=True)
        self._last_config = loaded.config
        return loaded

    def load_config(self) -> MeshConfig:
        """Re-read the configuration; a bad part counts as absent and stays in the file."""
        return config_file.load_config(self.home).config

    def change_config(self, change: Callable[[MeshConfig], MeshConfig]) -> MeshConfig:
        """Load, change and save under the file's lock; returns what is on disk now.

        A slip of an editor meanwhile costs nobody a network: what this node last read or wrote is changed then.
        """
        self._last_config = config_file.change_config(self.home, change, fallback=self._last_config)
        return self._last_config

    def load_identity(self) -> Identity:
        """The identity, created if there is none yet."""
        return identity_file.load_or_create_identity(self.home)

    def save_label(self, label: str) -> None:
        """Rewrite the anchor with another label."""
        identity_file.write_label(self.home, label)

    def load_roster(self, network_id: str) -> Roster:
        """The roster of a network by its normalised id; an absent or corrupt file is an empty roster."""
        return roster_file.load_roster(self.home, network_id)

    def save_roster(self, network_id: str, roster: Roster) -> None:
        """Replace the roster file of a network."""
        roster_file.save_roster(self.home, network_id, roster)

    def open_governance(self, network_id: str) -> GovernanceFiles:
        """What is on the disk of a network's signed governance, by its normalised id, not looked into yet."""
        from myownmesh.store import governance_files  # with the first network

        return governance_files.open_files(self.home, network_id)

    def save_governance(self, network_id: str, book: Governance) -> None:
        """Write what a device holds of a network's governance: the pin, then the state; both are on disk then."""
        from myownmesh.store import governance_files  # with the first network

        governance_files.save_book(self.home, network_id, book)

    def read_audit(self, network_id: str) -> dict[bytes, Arrival]:
        """How what is signed in a network first came to this device, by the entries' keys."""
        from myownmesh.store import governance_files  # with the first network

        return governance_files.read_audit(self.home, network_id)

    def append_audit(self, network_id: str, lines: Sequence[bytes]) -> None:
        """Write down what was signed in a network, as this device saw it: one JSON object a line."""
        from myownmesh.store import governance_files  # with the first network

        governance_files.append_audit(self.home, network_id, lines)

    def load_invites(self, network_id: str) -> Book:
        """The invitations of a network; an absent or corrupt file has none, one of a later release is an error."""
        from myownmesh.store import invites_file  # with the first network

        return invites_file.load_book(self.home, network_id)

    def add_accepted(self, network_id: str, taken: Accepted, now: int) -> None:
        """Keep an invitation that was taken to a network that is not joined yet; `now` in Unix seconds."""
        self.save_invites(network_id, self.load_invites(network_id).accept(taken, now))

    def approve_ahead(self, network_id: str, device_id: str, label: str, now: int) -> None:
        """Let a device into a network that is not joined yet; `now` in Unix seconds."""
        self.save_roster(network_id, self.load_roster(network_id).approve(device_id, label, now))

    def pin_ahead(self, network_id: str, founder: str) -> bool:
        """Believe a founder of a network that is not joined yet; False where another one is pinned."""
        from myownmesh.store import governance_files  # with the first network

        return governance_files.pin_ahead(self.home, network_id, founder)

    def save_invites(self, network_id: str, book: Book) -> None:
        """Replace the invitations of a network; they are on disk when this returns."""
        from myownmesh.store import invites_file  # with the first network

        invites_file.save_book(self.home, network_id, book)

    def load_turn_keys(self) -> TurnKeys:
        """What time-limited TURN passwords are made with, made now if there is nothing yet."""
        from myownmesh.store import turn_file  # most devices host nothing

        return turn_file.load_turn_keys(self.home)

    def save_turn_keys(self, keys: TurnKeys) -> None:
        """Replace it."""
        from myownmesh.store import turn_file

        turn_file.save_turn_keys(self.home, keys)

    def load_offers(self, network_id: str) -> tuple[OfferRecord, ...]:
        """The services of members that are in use in a network; an absent or corrupt file has none."""
        if not self.home.offers(network_id).exists():
            return ()
        from myownmesh.store import offers_file  # most networks have none

        return offers_file.load_offers(self.home, network_id)

    def save_offers(self, network_id: str, adopted: Sequence[OfferRecord]) -> None:
        """Replace them."""
        from myownmesh.store import offers_file

        offers_file.save_offers(self.home, network_id, adopted)

    def save_recording(self, network_id: str, wall_ms: int, data: bytes) -> Path:
        """Keep a recording of a network; of more than `KEPT_RECORDINGS` the oldest go. Raises `StoreError`."""
        folder = self.home.recordings
        private_directory(folder)
        path = folder / f"{network_id}-{wall_ms}.jsonl"
        try:
            atomic_write(path, data)
            for oldest in sorted(folder.glob("*.jsonl"), key=lambda each: each.stat().st_mtime)[:-KEPT_RECORDINGS]:
                oldest.unlink()
        except OSError as error:
            raise StoreError(f"write {path}: {os_error_text(error)}") from error
        return path

    def purge_network(self, network_id: str) -> None:
        """Delete roster, governance state and invitations of a network; a failure is only logged (spec 05 §8.2).

        Of the pin it stays that this key has signed there (spec 02 §24.3 no. 43).
        """
        from myownmesh.store import governance_files  # with the first network

        governance_files.purge_pin(self.home, network_id)
        paths = self.home.state, self.home.roster, self.home.invites, self.home.audit, self.home.offers
        for path in (place(network_id) for place in paths):
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                log.warning("could not delete %s: %s", path, os_error_text(error))

    def refuses_reset(self) -> str | None:
        """Why not everything here may be deleted; None when it may (spec 05 W27)."""
        from myownmesh.store import erasure  # most daemons never need it

        return erasure.refusal(self.home)

    def begin_erasure(self, device_id: str, networks: Sequence[Doomed] | None) -> None:
        """Write down that these networks are to go, or everything; from here on a start finishes it.

        Raises `StoreError`.
        """
        from myownmesh.store import erasure

        what = erasure.Erasure(device_id=device_id, everything=networks is None, networks=tuple(networks or ()))
        erasure.begin(self.home, what)

    def forget_networks(self, networks: Sequence[Doomed]) -> None:
        """Take networks out of the configuration and delete their files. Raises `StoreError`; then all are there."""
        from myownmesh.store import erasure

        erasure.forget(networks, self.change_config, self.purge_network)

    def wipe(self) -> list[str]:
        """Delete everything; returns what could not be, as sentences."""
        from myownmesh.store import erasure

        return erasure.wipe(self.home)

    def finish_erasure(self) -> None:
        """Before anything is read: finish what an earlier daemon was ended in."""
        if not self.home.erasure.exists():
            return
        from myownmesh.store import erasure

        erasure.finish(self.home, self.change_config, self.purge_network)


def open_store(home: Home) -> Store:
    """Take the data directory, creating it if needed, before anything in it is read (spec 07 C9).

    Raises `AlreadyRunning`, or `StoreError` when the directory cannot be used.
    """
    private_directory(home.root)
    try:
        lock = take(home.daemon_lock, note=f"{os.getpid()}\n".encode())
    except Held as held:
        raise AlreadyRunning(home, held.pid) from held
    return Store(home, lock)
