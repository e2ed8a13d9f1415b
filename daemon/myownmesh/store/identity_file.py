"""The identity anchor ``.secrets/identity.json`` (spec 01 §2.2): who this device is, for ever.

A bad anchor is never repaired, moved or replaced: a new key would silently orphan every approval that other devices
have given. So whatever is wrong with it is an error that a person reads.
"""

from __future__ import annotations

import logging
import secrets
import time
from typing import TYPE_CHECKING

from msgspec.structs import replace

from mesh_common.handwritten import in_style_of
from mesh_common.labels import label_problem
from myownmesh.protocol.json_words import JsonError
from myownmesh.protocol.schema import U32, read
from myownmesh.protocol.strict_json import proven
from myownmesh.store.config import pretty
from myownmesh.store.errors import StoreError, os_error_text
from myownmesh.store.files import atomic_write, private_directory
from myownmesh.store.json_file import read_file
from myownmesh.store.locks import CONFIG_LOCK_WAIT, take
from myownmesh.store.record import Record

if TYPE_CHECKING:
    from pathlib import Path

    from mesh_common.locks import FileLock
    from myownmesh.identity import Identity
    from myownmesh.store.paths import Home

ANCHOR_VERSION = 1
SEED_BYTES = 32

log = logging.getLogger(__name__)


class Anchor(Record, frozen=True, kw_only=True):
    """The file's content, keys as they are written there. Never log `secret_key`."""

    SHAPE = "struct IdentityAnchor"
    version: U32
    created_at: str
    secret_key: str
    public_key: str
    label: str

    def __repr__(self) -> str:
        return f"Anchor(public_key={self.public_key!r}, label={self.label!r})"

    def identity(self) -> Identity:
        """The signing identity. Raises `ValueError` when a key is unreadable or the two do not belong together."""
        from myownmesh.identity import Identity
        from myownmesh.protocol import base32

        seed = base32.decode(self.secret_key.lower(), SEED_BYTES)
        identity = Identity.from_seed(seed, self.label)
        if identity.device_id != self.public_key.lower():
            raise ValueError(
                f"its public_key does not belong to its secret_key (which gives {identity.device_id}); "
                "restore the file from a backup, or correct public_key"
            )
        return identity


def read_anchor(home: Home) -> Anchor:
    """Read the anchor. Raises `StoreError` with the reference's words when it is missing or unusable."""
    path = home.identity
    data = read_file(path, "identity: read identity anchor at")
    if data is None:
        raise StoreError(f"identity: read identity anchor at {path}: No such file or directory (os error 2)")
    return _parse(path, data)


def load_identity(home: Home) -> Identity:
    """Read the anchor and derive the identity from its seed. Raises `StoreError`."""
    return _identity(home.identity, read_anchor(home))


def load_or_create_identity(home: Home, *, now: float | None = None) -> Identity:
    """Read the anchor, creating a new identity if and only if there is no file. Raises `StoreError`.

    `now` is the creation time in Unix seconds, written into the file for people.
    """
    data = read_file(home.identity, "identity: read identity anchor at")
    if data is not None:
        return _identity(home.identity, _parse(home.identity, data))
    with _anchor_lock(home):
        # Two processes may start on an empty directory: the second one finds the first one's key.
        data = read_file(home.identity, "identity: read identity anchor at")
        if data is not None:
            return _identity(home.identity, _parse(home.identity, data))
        return _create(home, int(time.time() if now is None else now))


def write_label(home: Home, label: str) -> None:
    """Rewrite the anchor with another label; keys and unknown members stay as they are.

    Raises `StoreError`, also for one that is too long; the file is then unchanged.
    """
    read_anchor(home)  # the error for a missing file, before a lock file or a directory is created
    if (problem := label_problem(label)) is not None:
        raise StoreError(f"identity: {problem}")
    with _anchor_lock(home):
        _write(home, replace(read_anchor(home), label=label))


def _create(home: Home, created_at: int) -> Identity:
    from myownmesh.identity import Identity
    from myownmesh.protocol import base32

    seed = secrets.token_bytes(SEED_BYTES)
    identity = Identity.from_seed(seed, "")
    anchor = Anchor(
        version=ANCHOR_VERSION,
        created_at=f"@{created_at}",
        secret_key=base32.encode(seed),
        public_key=identity.device_id,
        label="",
    )
    _write(home, anchor)
    log.info("created a new identity: %s", identity.device_id)
    return identity


def _write(home: Home, anchor: Anchor) -> None:
    try:
        atomic_write(home.identity, in_style_of(pretty(anchor.to_json()), home.identity))
    except OSError as error:
        raise StoreError(f"identity: write identity anchor at {home.identity}: {os_error_text(error)}") from error


def _anchor_lock(home: Home) -> FileLock:
    private_directory(home.root)
    private_directory(home.secrets)
    return take(home.config_lock, wait=CONFIG_LOCK_WAIT)


def _parse(path: Path, data: bytes) -> Anchor:
    try:
        anchor = read(Anchor, proven(data))
    except JsonError as error:
        raise StoreError(f"identity: parse identity anchor at {path}: {error}") from error
    if anchor.version != ANCHOR_VERSION:
        raise StoreError(
            f"identity: identity anchor at {path} has unsupported version {anchor.version} "
            f"(this build reads {ANCHOR_VERSION})"
        )
    return anchor


def _identity(path: Path, anchor: Anchor) -> Identity:
    try:
        return anchor.identity()
    except ValueError as error:
        raise StoreError(f"identity: identity anchor at {path} is unusable: {error}") from error
