"""The authenticator locks on disk (spec 02 §17, FIX 27): the reference's file, and a side file of ours beside it.

``.secrets/custody.json`` holds what the reference holds, in its form. ``.secrets/custody.enrolled`` remembers which
locks there are, so that deleting the first file takes none off, and how codes were used. A damaged first file is a hard
error and stays where it is: setting it aside would take every lock off. A damaged second one is set aside and begun
again.
"""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING, Any, TypeVar

from mesh_common.handwritten import in_style_of
from myownmesh.custody import CustodyError, Lock, Locks, Mark, canonical_keys, disable, enroll, gate, is_enrolled, reset
from myownmesh.protocol.json_words import JsonError
from myownmesh.protocol.schema import I64, U32, U64, read
from myownmesh.protocol.strict_json import members, proven
from myownmesh.store.config import pretty
from myownmesh.store.errors import StoreError, os_error_text
from myownmesh.store.files import atomic_write, private_directory, quarantine
from myownmesh.store.json_file import read_file
from myownmesh.store.locks import CONFIG_LOCK_WAIT, take
from myownmesh.store.record import Record

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from msgspec import Raw

    from mesh_common.locks import FileLock
    from myownmesh.custody import Enrolment
    from myownmesh.store.paths import Home

R = TypeVar("R", bound=Record)

MARKS_VERSION = 1


class LockRecord(Record, frozen=True, kw_only=True):
    """One lock in ``custody.json``."""

    secret_b32: str
    recovery_hashes: tuple[str, ...]
    created_at: U64


class MarkRecord(Record, frozen=True, kw_only=True):
    """One mark in ``custody.enrolled``."""

    last_step: I64 = -1
    refused: U32 = 0
    refused_at: U64 = 0


def enrolled(home: Home, network_id: str, aliases: Mapping[str, str]) -> bool:
    """Whether signatures in a network need a code. Raises `CustodyError` when that cannot be read."""
    return is_enrolled(_in_force(_load(home), aliases), network_id)


def enroll_on_disk(home: Home, network_id: str, account: str, aliases: Mapping[str, str]) -> Enrolment:
    """Put a lock on; it is on disk when this returns. Raises `CustodyError`."""
    with _locked(home):
        before = _load(home)
        after, shown = enroll(_in_force(before, aliases), network_id, account, _now(), secrets.token_bytes)
        _save(home, before, after)
        return shown


def gate_on_disk(home: Home, network_id: str, code: str | None, aliases: Mapping[str, str]) -> None:
    """Let a signature pass, or raise `CustodyError`. What the attempt changed is on disk before either."""
    _judged(home, aliases, lambda locks: gate(locks, network_id, code, _now()))


def disable_on_disk(home: Home, network_id: str, code: str | None, aliases: Mapping[str, str]) -> None:
    """Take a lock off with a code. Raises `CustodyError`."""
    _judged(home, aliases, lambda locks: disable(locks, network_id, code, _now()))


def reset_on_disk(home: Home, network_id: str, aliases: Mapping[str, str]) -> bool:
    """Take a lock off without a code; False when none was on. Raises `CustodyError`."""
    with _locked(home):
        before = _load(home)
        locks = _in_force(before, aliases)
        _save(home, before, reset(locks, network_id))
        return is_enrolled(locks, network_id)


def locked_on_disk(home: Home, aliases: Mapping[str, str]) -> tuple[str, ...]:
    """The networks that have a lock, sorted. Raises `CustodyError`."""
    locks = _in_force(_load(home), aliases)
    return tuple(sorted(locks.locks.keys() | locks.marks.keys()))


def forget_all_on_disk(home: Home) -> Path | None:
    """Take every lock off; a file that cannot be read is set aside, and where it lies now is returned.

    Raises `CustodyError`.
    """
    with _locked(home):
        try:
            _save(home, _load(home).marked(), Locks())
        except CustodyError as error:
            aside = quarantine(home.custody, str(error))
            if aside is None:
                raise
            _save_marks(home, Locks())
            return aside
        return None


def _judged(
    home: Home, aliases: Mapping[str, str], judge: Callable[[Locks], tuple[Locks, CustodyError | None]]
) -> None:
    if not home.custody.exists() and not home.custody_marks.exists():
        return  # a device that never had a lock takes no file lock for its signatures
    with _locked(home):
        before = _load(home)
        after, refused = judge(_in_force(before, aliases))
        _save(home, before, after)
    if refused is not None:
        raise refused


def _now() -> int:
    return int(time.time())


def _locked(home: Home) -> FileLock:
    try:
        private_directory(home.root)
        private_directory(home.secrets)
        return take(home.config_lock, wait=CONFIG_LOCK_WAIT)
    except StoreError as error:
        raise CustodyError(f"create secrets dir: {error}") from error


# ── reading ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _load(home: Home) -> Locks:
    locks = {
        key: Lock(record.secret_b32, record.recovery_hashes, record.created_at)
        for key, record in _lock_records(home).items()
    }
    marks = {
        key: Mark(record.last_step, record.refused, record.refused_at) for key, record in _mark_records(home).items()
    }
    return Locks(locks, marks)


def _in_force(on_disk: Locks, aliases: Mapping[str, str]) -> Locks:
    return canonical_keys(on_disk.marked(), aliases)


def _lock_records(home: Home) -> dict[str, LockRecord]:
    try:
        data = read_file(home.custody, "custody: read custody store:")
    except StoreError as error:
        raise CustodyError(str(error).removeprefix("custody: ")) from error
    try:
        return {} if data is None else _records(LockRecord, _file_members(data))
    except JsonError as error:
        raise CustodyError(f"read custody store: serde: {error}") from error


def _mark_records(home: Home) -> dict[str, MarkRecord]:
    path = home.custody_marks
    try:
        data = read_file(path, "custody: read custody store:")
    except StoreError as error:
        raise CustodyError(str(error).removeprefix("custody: ")) from error
    try:
        return {} if data is None else _records(MarkRecord, _file_members(data))
    except JsonError as error:
        quarantine(path, str(error))
        return {}


def _file_members(data: bytes) -> dict[str, Raw]:
    return dict(members(proven(data)))


def _records(kind: type[R], found: Mapping[str, Raw]) -> dict[str, R]:
    if "networks" not in found:
        raise JsonError("missing field `networks`")
    return {key: read(kind, value) for key, value in members(found["networks"])}


# ── writing ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _save(home: Home, before: Locks, after: Locks) -> None:
    """A lock is written before its mark and taken off behind it, so that a crash in between leaves it on."""
    steps = [(_save_locks, before.locks != after.locks), (_save_marks, before.marks != after.marks)]
    if before.locks.keys() - after.locks.keys():
        steps.reverse()
    for save, changed in steps:
        if changed:
            save(home, after)


def _save_locks(home: Home, locks: Locks) -> None:
    records = {
        key: LockRecord(secret_b32=lock.secret_b32, recovery_hashes=lock.recovery_hashes, created_at=lock.created_at)
        for key, lock in sorted(locks.locks.items())
    }
    _write(home.custody, {"networks": {key: record.to_json() for key, record in records.items()}})


def _save_marks(home: Home, locks: Locks) -> None:
    records = {
        key: MarkRecord(last_step=mark.last_step, refused=mark.refused, refused_at=mark.refused_at)
        for key, mark in sorted(locks.marks.items())
    }
    content = {"version": MARKS_VERSION, "networks": {key: record.to_json() for key, record in records.items()}}
    _write(home.custody_marks, content)


def _write(path: Path, content: dict[str, Any]) -> None:
    try:
        atomic_write(path, in_style_of(pretty(content), path))
    except OSError as error:
        raise CustodyError(f"write custody store: {path}: {os_error_text(error)}") from error
