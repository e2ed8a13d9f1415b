"""Services of members that this device uses, on disk (spec 06 K): one file per network.

It only spares the time until members say it again, so one that cannot be read is set aside and counts as empty.
"""

from __future__ import annotations

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
    from collections.abc import Sequence

    from myownmesh.store.paths import Home

OFFERS_VERSION = 1
KINDS = ("relay", "stun", "turn")


class OfferRecord(Record, frozen=True, kw_only=True):
    """One service of one device; `seen` in Unix seconds."""

    device_id: str
    kind: str
    urls: tuple[str, ...]
    seen: U64


class OffersFile(Record, frozen=True, kw_only=True):
    """The file."""

    version: U32 = OFFERS_VERSION
    adopted: tuple[OfferRecord, ...] = ()


def load_offers(home: Home, network_id: str) -> tuple[OfferRecord, ...]:
    """What was in use in a network, by its normalised id. Raises `StoreError` for a file that must be left alone."""
    path = home.offers(network_id)
    data = read_file(path, "offers: read")
    if data is None:
        return ()
    try:
        file = read(OffersFile, proven(data))
        if file.version > OFFERS_VERSION:
            raise StoreError(f"offers: {path} was written by a newer version of the program; it is left alone")
        if not all(is_device_id(each.device_id) and each.kind in KINDS for each in file.adopted):
            raise ValueError("services of others than devices, or of no kind")
    except ValueError as error:  # JsonError is one
        quarantine(path, str(error))
        return ()
    return file.adopted


def save_offers(home: Home, network_id: str, adopted: Sequence[OfferRecord]) -> None:
    """Replace the file; it is on disk when this returns. Raises `StoreError`."""
    path = home.offers(network_id)
    private_directory(path.parent.parent)
    private_directory(path.parent)
    try:
        atomic_write(path, pretty(OffersFile(adopted=tuple(adopted)).to_json()).encode())
    except OSError as error:
        raise StoreError(f"offers: write {path}: {os_error_text(error)}") from error
