"""Rosters on disk (spec 01 §15.1): one file per network, forgiven when it is corrupt, because it converges again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh_common.handwritten import in_style_of
from myownmesh.protocol.strict_json import loads
from myownmesh.store.config import pretty
from myownmesh.store.errors import StoreError, os_error_text
from myownmesh.store.files import atomic_write, private_directory, quarantine
from myownmesh.store.heap import give_back
from myownmesh.store.json_file import read_file

if TYPE_CHECKING:
    from myownmesh.roster import Roster
    from myownmesh.store.paths import Home

ROSTER_VERSION = 1
MANY = 1000
"""Rows whose text is worth a look at what the allocator keeps of it."""


def load_roster(home: Home, network_id: str) -> Roster:
    """Read a roster. Absent, corrupt or another network's file: empty; corrupt ones are set aside.

    Raises `StoreError` for an unknown version and for a file that cannot be read: the network cannot be joined then.
    """
    from myownmesh.roster import Roster
    from myownmesh.roster.roster_text import read_text

    path = home.roster(network_id)
    data = read_file(path, "roster: read")
    if data is None:
        return Roster(network_id=network_id)
    if (quickly := read_text(data)) is not None:
        return _if_of(network_id, quickly)
    try:
        value = loads(data)
        version = value.get("version") if isinstance(value, dict) else None
        if isinstance(version, int) and not isinstance(version, bool) and version != ROSTER_VERSION:
            raise StoreError(
                f"roster: roster version {version} unsupported (this build reads {ROSTER_VERSION}): {path}"
            )
        roster = Roster.from_json(value)
    except ValueError as error:
        quarantine(path, str(error))
        return Roster(network_id=network_id)
    return _if_of(network_id, roster)


def save_roster(home: Home, network_id: str, roster: Roster) -> None:
    """Replace the file. Raises `StoreError`."""
    from myownmesh.roster.roster_text import write_text

    path = home.roster(network_id)
    private_directory(path.parent.parent)
    private_directory(path.parent)
    text = write_text(roster) or pretty(roster.to_json()).encode()
    try:
        atomic_write(path, in_style_of(text, path))
    except OSError as error:
        raise StoreError(f"roster: write {path}: {os_error_text(error)}") from error
    if roster.count >= MANY:
        del text
        give_back()


def _if_of(network_id: str, roster: Roster) -> Roster:
    """A copied or renamed file must not admit one network's devices to another."""
    return roster if roster.network_id == network_id else type(roster)(network_id=network_id)
