"""The member `invite` of a hello (spec 11 §1.3): which invitation a device comes with, and the proof that it has it.

It is an addition of ours. So it is no member of the frame's class, whose text stays that of v0.3.8 to the byte: it is
put behind the others, and read from the text. Whatever is wrong with it makes an ordinary knock, never a malformed
frame.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import msgspec

from myownmesh.protocol.json_words import JsonError
from myownmesh.protocol.schema import read
from myownmesh.protocol.strict_json import decode_object

if TYPE_CHECKING:
    from msgspec import Raw

MAX_BYTES: Final = 256

_ID: Final = re.compile(r"[0-9a-f]{16}")
_MAC: Final = re.compile(r"[a-z2-7]{52}")
_NAME: Final = "invite"


class Introduction(msgspec.Struct, frozen=True):
    """The member's value."""

    id: str
    """Of the invitation."""
    mac: str

    def __repr__(self) -> str:
        return f"Introduction(id={self.id!r})"


def introduced(hello: bytes, introduction: Introduction) -> bytes:
    """The text of a hello with the member behind all others."""
    return hello[:-1] + b',"invite":' + msgspec.json.encode(introduction) + b"}"


def introduction_in(hello: bytes) -> Introduction | None:
    """The member of a hello that was read already; None when there is none that could be right."""
    if b"invite" not in hello:
        return None
    values = [value for name, value in decode_object(hello) if name == _NAME]
    return _read(values[0]) if len(values) == 1 and len(bytes(values[0])) <= MAX_BYTES else None


def _read(value: Raw) -> Introduction | None:
    try:
        found = read(Introduction, value)
    except JsonError:
        return None
    return found if _ID.fullmatch(found.id) and _MAC.fullmatch(found.mac) else None
