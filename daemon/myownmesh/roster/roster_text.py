"""A roster as the text of its file, and back, the quick way (spec 01 §15.1).

Ten thousand rows as dictionaries take a third of a second and ten megabytes that the process keeps. What has members of
later versions, or is no roster at all, is left to the exact way (`Roster.from_json`, `to_json`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Literal

import msgspec
from msgspec import UNSET, UnsetType

from myownmesh.protocol.ids import pubkey_part
from myownmesh.roster.entry import Entry
from myownmesh.roster.roster import VERSION, Roster

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_ROWS_PER_PIECE: Final = 200
"""Read or written at once: less than a millisecond, after which other threads may go on."""


class _Row(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    device_id: str
    label: str
    approved_at: Annotated[int, msgspec.Meta(ge=0)]
    role: Literal["member", "controller", "owner"] = "member"
    user_label: str | UnsetType = UNSET
    seals: bool | UnsetType = UNSET
    by_hand: bool | UnsetType = UNSET


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: int
    network_id: str
    authorized_devices: tuple[msgspec.Raw, ...]
    removed_devices: tuple[str, ...] = ()


_decode: Final = msgspec.json.Decoder(_File).decode
_decode_rows: Final = msgspec.json.Decoder(tuple[_Row, ...]).decode
_encode: Final = msgspec.json.Encoder().encode


def read_text(data: bytes) -> Roster | None:
    """The roster that a file holds; None for what only the exact way can judge."""
    try:
        file = _decode(data)
        if file.version != VERSION:
            return None
        rows = [row for piece in _pieces(file.authorized_devices) for row in _decode_rows(b"[%b]" % piece)]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if any(row.approved_at >= 2**64 for row in rows):
        return None
    return Roster.of_rows(file.network_id, map(_entry, rows), file.removed_devices)


def _pieces(rows: Sequence[msgspec.Raw]) -> Iterator[bytes]:
    for start in range(0, len(rows), _ROWS_PER_PIECE):
        yield b",".join(map(bytes, rows[start : start + _ROWS_PER_PIECE]))


def write_text(roster: Roster) -> bytes | None:
    """The text of its file; None where something in it has members of later versions."""
    if roster.unknown or any(entry.unknown for entry in roster.entries):
        return None
    return b"".join(_written(roster))


def _written(roster: Roster) -> Iterator[bytes]:
    head = {"version": VERSION, "network_id": roster.network_id}
    yield _pretty(head).removesuffix(b"\n}") + b',\n  "authorized_devices": ['
    for start in range(0, len(roster.entries), _ROWS_PER_PIECE):
        text = _pretty([_rows(roster.entries[start : start + _ROWS_PER_PIECE])])
        yield (b"," if start else b"") + text.removeprefix(b"[\n  [").removesuffix(b"\n  ]\n]")
    yield b"\n  ]" if roster.entries else b"]"
    if roster.removed_devices:
        yield b"," + _pretty({"removed_devices": roster.removed_devices})[1:]
    else:
        yield b"\n}"


def _rows(entries: Sequence[Entry]) -> list[_Row]:
    return [
        _Row(
            entry.device_id,
            entry.label,
            entry.approved_at,
            entry.role,
            UNSET if entry.user_label is None else entry.user_label,
            entry.seals or UNSET,
            entry.by_hand or UNSET,
        )
        for entry in entries
    ]


def _entry(row: _Row) -> Entry:
    named = None if row.user_label is UNSET else row.user_label
    seals, by_hand = row.seals is True, row.by_hand is True
    return Entry(pubkey_part(row.device_id), row.label, row.approved_at, row.role, named, seals, by_hand)


def _pretty(value: object) -> bytes:
    return msgspec.json.format(_encode(value), indent=2)
