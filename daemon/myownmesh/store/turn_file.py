"""What time-limited TURN passwords are made with, and who has some: ``.secrets/turn.json`` (spec 06 M).

The file is made when this device hosts TURN for the first time. One that cannot be read is set aside: passwords that
were handed out are worthless then, and whoever needs one asks anew.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from myownmesh.protocol.ids import is_device_id
from myownmesh.protocol.schema import U32, U64, read
from myownmesh.protocol.strict_json import proven
from myownmesh.store.config import pretty
from myownmesh.store.errors import StoreError, os_error_text
from myownmesh.store.files import atomic_write, private_directory, quarantine
from myownmesh.store.json_file import read_file
from myownmesh.store.record import Record

if TYPE_CHECKING:
    from myownmesh.store.paths import Home

TURN_VERSION = 1
SECRET_BYTES = 32


class Holder(Record, frozen=True, kw_only=True):
    """One device that was given a password."""

    device_id: str
    until: U64
    """Unix seconds until which its newest password was good, to an hour."""


class TurnKeys(Record, frozen=True, kw_only=True):
    """The file. Never log `secret`."""

    version: U32 = TURN_VERSION
    secret: str
    holders: tuple[Holder, ...] = ()

    def __repr__(self) -> str:
        return f"TurnKeys(holders={len(self.holders)})"


def load_turn_keys(home: Home) -> TurnKeys:
    """The file's content, made now if there is none. Raises `StoreError`, also for a file of a later release."""
    path = home.turn_keys
    data = read_file(path, "turn: read")
    if data is not None:
        try:
            keys = read(TurnKeys, proven(data))
            if keys.version > TURN_VERSION:
                raise StoreError(f"turn: {path} was written by a newer version of the program; it is left alone")
            if not keys.secret or not all(is_device_id(each.device_id) for each in keys.holders):
                raise ValueError("no secret, or passwords of others than devices")
        except ValueError as error:  # JsonError is one
            quarantine(path, str(error))
        else:
            return keys
    made = TurnKeys(secret=secrets.token_hex(SECRET_BYTES))
    save_turn_keys(home, made)
    return made


def save_turn_keys(home: Home, keys: TurnKeys) -> None:
    """Replace the file; it is on disk when this returns. Raises `StoreError`."""
    path = home.turn_keys
    private_directory(path.parent)
    try:
        atomic_write(path, pretty(keys.to_json()).encode())
    except OSError as error:
        raise StoreError(f"turn: write {path}: {os_error_text(error)}") from error
