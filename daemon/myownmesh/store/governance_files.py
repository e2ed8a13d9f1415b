"""Signed governance on disk (spec 02 §16, §24.2): the state file that v0.3.8 reads, too, and our pin beside it.

The pin reaches the disk first. A damaged state is set aside, and the pin keeps the network closed; a damaged pin keeps
it from being joined, for without it another founder would be let in.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Final

import msgspec

from mesh_common.handwritten import in_style_of
from mesh_common.values import Value
from myownmesh.governance.history import Arrival
from myownmesh.governance.pins import Pin, read_pin
from myownmesh.governance.saved import pin_of, state_of
from myownmesh.governance.state_file import UnsupportedState, check_version, read_state, write_state
from myownmesh.protocol.json_words import JsonError
from myownmesh.store.config import pretty
from myownmesh.store.errors import StoreError, os_error_text
from myownmesh.store.files import PRIVATE_FILE, atomic_write, private_directory, quarantine, set_copy_aside
from myownmesh.store.json_file import read_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from myownmesh.governance.book import Book
    from myownmesh.governance.state_file import StateFile
    from myownmesh.store.paths import Home

log = logging.getLogger(__name__)

AUDIT_BYTES: Final = 4 << 20


class GovernanceFiles(Value, frozen=True):
    """What was found. The state is read later: a large one takes a while."""

    network_id: str
    pin: Pin | None
    state_path: Path
    state_bytes: bytes | None

    @property
    def is_empty(self) -> bool:
        """Nothing has ever been signed or pinned here."""
        return self.pin is None and self.state_bytes is None

    def read_state(self) -> StateFile | None:
        """The state; None for no file, for that of another network, and for a damaged one, which is set aside."""
        if self.state_bytes is None:
            return None
        try:
            state = read_state(self.state_bytes)
        except ValueError as error:
            quarantine(self.state_path, str(error))
            return None
        return state if state.network_id == self.network_id else None

    def set_aside(self, faults: tuple[str, ...]) -> None:
        """Keep a copy of a state of which not everything was taken; the next save replaces the file."""
        if faults and self.state_bytes is not None:
            set_copy_aside(self.state_path, self.state_bytes, "; ".join(faults))


def open_files(home: Home, network_id: str) -> GovernanceFiles:
    """The files of a network. Raises `StoreError` for what keeps it from being joined: a file that cannot be read, a
    state of another release, a pin that is none."""
    path = home.state(network_id)
    data = read_file(path, "read network_state at")
    if data is not None:
        try:
            check_version(data)
        except UnsupportedState as error:
            raise StoreError(str(error)) from error
        except JsonError:
            pass  # `GovernanceFiles.read_state` sets it aside
    return GovernanceFiles(network_id, _pin(home, network_id), path, data)


def save_book(home: Home, network_id: str, book: Book) -> None:
    """Replace both files, the pin first; they are on disk when this returns. Raises `StoreError`."""
    pin_path, state_path = home.pin(network_id), home.state(network_id)
    _write_pin(pin_path, pin_of(book))
    _write(state_path, write_state(state_of(book)), "network_state")


class _AuditLine(msgspec.Struct):
    """What is read of a line; a line that is none is skipped."""

    at: int
    through: str
    entry: msgspec.Raw


def read_audit(home: Home, network_id: str) -> dict[bytes, Arrival]:
    """How entries first came to this device, by their keys; empty where nothing was written down or can be read."""
    found: dict[bytes, Arrival] = {}
    try:
        lines = home.audit(network_id).read_bytes().splitlines()
    except OSError:
        return found
    for each in lines:
        try:
            line = _read_line(each)
        except msgspec.DecodeError:
            continue
        found.setdefault(bytes(line.entry), Arrival(line.at, line.through))
    return found


_read_line: Final = msgspec.json.Decoder(_AuditLine).decode


def append_audit(home: Home, network_id: str, lines: Sequence[bytes]) -> None:
    """Write lines down behind those that are there; of more than `AUDIT_BYTES` the older half goes.

    Raises `StoreError`.
    """
    path = home.audit(network_id)
    private_directory(path.parent.parent)
    private_directory(path.parent)
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, PRIVATE_FILE), "ab") as audit:
            audit.write(b"".join(line + b"\n" for line in lines))
            nbytes = audit.tell()
        if nbytes > AUDIT_BYTES:
            kept = path.read_bytes()[-AUDIT_BYTES // 2 :]
            atomic_write(path, kept[kept.index(b"\n") + 1 :])
    except OSError as error:
        raise StoreError(f"audit: write {path}: {os_error_text(error)}") from error


def pin_ahead(home: Home, network_id: str, founder: str) -> bool:
    """Believe a founder of a network that is not joined yet; False where another one is pinned. Raises `StoreError`."""
    pin = _pin(home, network_id) or Pin(network_id)
    if not pin.is_set:
        pin = pin.founded_by(founder)
        _write_pin(home.pin(network_id), pin)
    return pin.founder == founder


def purge_pin(home: Home, network_id: str) -> None:
    """Leave of a pin what a purge leaves; a failure is only logged."""
    path = home.pin(network_id)
    try:
        pin = _pin(home, network_id)
        stub = None if pin is None else pin.stub()
        if stub is None:
            path.unlink(missing_ok=True)
        else:
            _write_pin(path, stub)
    except (OSError, StoreError) as error:
        log.warning("could not purge %s: %s", path, error)


def _pin(home: Home, network_id: str) -> Pin | None:
    path = home.pin(network_id)
    data = read_file(path, "read pin at")
    try:
        return None if data is None else read_pin(data, network_id)
    except JsonError as error:
        raise StoreError(
            f"pin {path} is damaged ({error}); restore it, or delete it to trust this network's founder anew"
        ) from error


def _write_pin(path: Path, pin: Pin) -> None:
    data = in_style_of(pretty(pin.to_json()), path)
    if read_file(path, "read pin at") != data:
        _write(path, data, "pin")


def _write(path: Path, data: bytes | Iterable[bytes], what: str) -> None:
    private_directory(path.parent.parent)
    private_directory(path.parent)
    try:
        atomic_write(path, data)
    except OSError as error:
        raise StoreError(f"{what}: write {path}: {os_error_text(error)}") from error
