"""What is said on an exchange connection: one JSON object per line (spec 03 §18.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Raw, Struct

from myownmesh.protocol.json_words import JsonError, duplicate_field, missing_field, unknown_variant
from myownmesh.protocol.schema import Number, read_number, read_text
from myownmesh.protocol.strict_json import compact_json, decode_object, members

if TYPE_CHECKING:
    from collections.abc import Mapping

    from myownmesh.protocol.strict_json import Members

VERSION: Final = 1
MAX_LINE_BYTES: Final = 262_144
"""Without the newline."""
KINDS: Final = ("announce", "leave", "offer", "answer", "candidate")
"""Of messages; one of another kind ends the connection, as it does at v0.3.8."""

_U8: Final = Number("u8", 0, 255)
_MEMBERS: Final = ("v", "room", "from", "to", "msg")


class BadLine(ValueError):
    """No line of this protocol: whoever writes such lines is not listened to any longer."""


class Line(Struct, frozen=True):
    """One line that was understood; nothing proves that `sender` wrote it."""

    version: int
    room: str
    sender: str
    to: str
    kind: str
    peer: str
    """Whom the message is about; every writer names the sender."""
    message: list[tuple[str, Raw]]
    """Its members as they stand there."""

    def is_for(self, room: str, device_id: str) -> bool:
        """Whether it is addressed to this device in this room, in a version that is known here."""
        return (self.version, self.room, self.to) == (VERSION, room, device_id)


def encode(room: str, sender: str, to: str, message: Mapping[str, object]) -> bytes:
    """The line, with its newline."""
    return compact_json({"v": VERSION, "room": room, "from": sender, "to": to, "msg": message}).encode() + b"\n"


def decode(data: bytes) -> Line | None:
    """A line without its newline; None for a blank one. Raises `BadLine`."""
    if len(data) > MAX_LINE_BYTES:
        raise BadLine("the line is too long")
    data = data.strip()
    if not data:
        return None
    try:
        known = _known(decode_object(data), _MEMBERS)
        message = members(known["msg"])
        about = _known(message, ("kind", "peer_id"))
        kind = read_text(about["kind"])
        if kind not in KINDS:
            raise unknown_variant(kind, KINDS)
        return Line(
            version=read_number(_U8, known["v"]),
            room=read_text(known["room"]),
            sender=read_text(known["from"]),
            to=read_text(known["to"]),
            kind=kind,
            peer=read_text(about["peer_id"]),
            message=message,
        )
    except JsonError as error:
        raise BadLine(str(error)) from error


def _known(found: Members, names: tuple[str, ...]) -> dict[str, Raw]:
    known: dict[str, Raw] = {}
    for name, value in found:
        if name in known:
            raise duplicate_field(name)
        if name in names:
            known[name] = value
    for name in names:
        if name not in known:
            raise missing_field(name)
    return known


class Splitter:
    """Makes lines of what a connection brings, in whatever pieces."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def __len__(self) -> int:
        """How much of a line waits for its end, in bytes."""
        return len(self._rest)

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that are whole now. Raises `BadLine` once one is too long, whether it ends or not."""
        *ended, rest = data.split(b"\n")
        lines: list[bytes] = []
        for piece in ended:
            lines.append(bytes(self._rest) + piece)
            self._rest.clear()
        self._rest += rest
        if len(self._rest) > MAX_LINE_BYTES or any(len(line) > MAX_LINE_BYTES for line in lines):
            raise BadLine("the line is too long")
        return lines
