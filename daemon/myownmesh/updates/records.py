"""What the updater keeps in ``<home>/updates`` (spec 09 §10.1): texts to values and back. No file is touched here.

What cannot be read is as if it were not there: the program on disk is what counts.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, TypeVar

_T = TypeVar("_T", bound="Staged | State | Failures")


@dataclass(frozen=True, slots=True)
class Staged:
    """A verified release that waits to be put in."""

    version: str
    kind: str
    """``file`` or ``folder``."""
    path: str
    sha256: str
    """Of the program, or of the folder's tree (`trees.digest`)."""
    size: int
    asset: str
    verified: str
    """``signature`` or ``checksum``."""
    key_id: str | None
    staged_at: int
    auto: bool
    """Whether the next start of the daemon puts it in by itself."""
    target: str
    """The program that it is meant to replace."""
    target_mtime_ns: int


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A version that was here and did not work."""

    version: str
    reason: str
    at: int


@dataclass(frozen=True, slots=True)
class State:
    """Which version is in place, and whether it has shown that it works."""

    current: str
    previous: str | None = None
    status: str = "confirmed"
    """``unconfirmed`` from the swap until the new version has served for a while."""
    boots: int = 0
    """Starts of ``serve`` while unconfirmed."""
    applied_at: int | None = None
    confirmed_at: int | None = None
    verified: str | None = None
    rolled_back_from: str | None = None
    quarantine: tuple[Quarantined, ...] = ()

    @property
    def unconfirmed(self) -> bool:
        return self.status == "unconfirmed"

    def quarantined(self, version: str) -> bool:
        return any(row.version == version for row in self.quarantine)

    def with_quarantined(self, version: str, reason: str, now: float) -> State:
        rest = tuple(row for row in self.quarantine if row.version != version)
        return replace(self, quarantine=(*rest, Quarantined(version, reason, int(now)))[-_MOST_QUARANTINED:])

    def without_quarantined(self, version: str) -> State:
        return replace(self, quarantine=tuple(row for row in self.quarantine if row.version != version))


_MOST_QUARANTINED = 20
"""Newest ones; a release that is older than twenty bad ones is not on offer any more."""


@dataclass(frozen=True, slots=True)
class Failures:
    """Checks that failed since the last one that did not."""

    count: int = 0
    at: int = 0
    reason: str = ""


def text_of(value: Staged | State | Failures) -> bytes:
    return (json.dumps(asdict(value), indent=2) + "\n").encode()


def read_staged(data: bytes) -> Staged | None:
    return _read(Staged, data)


def read_failures(data: bytes) -> Failures:
    return _read(Failures, data) or Failures()


def read_state(data: bytes) -> State | None:
    found = _read(State, data)
    if found is None:
        return None
    rows: tuple[Any, ...] = tuple(found.quarantine)
    good = [row for row in rows if isinstance(row, dict) and isinstance(row.get("version"), str)]
    read = (Quarantined(row["version"], str(row.get("reason", "")), _number(row.get("at"))) for row in good)
    return replace(found, quarantine=tuple(read))


_KINDS: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "bool": (bool,),
    "str | None": (str, type(None)),
    "int | None": (int, type(None)),
    "tuple[Quarantined, ...]": (list,),
}


def _read(cls: type[_T], data: bytes) -> _T | None:
    try:
        document = json.loads(data)
        members = {field.name: document[field.name] for field in fields(cls) if field.name in document}
        for field in fields(cls):
            if field.name in members and not isinstance(members[field.name], _KINDS[str(field.type)]):
                return None
        return cls(**members)
    except (ValueError, TypeError, RecursionError):
        return None


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0
