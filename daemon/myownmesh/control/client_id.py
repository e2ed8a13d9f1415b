"""Ids of event connections: ``c`` and a decimal number (spec 05 §5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from myownmesh.protocol.json_words import JsonError
from myownmesh.protocol.schema import read_text

if TYPE_CHECKING:
    from msgspec import Raw

_LARGEST = (1 << 64) - 1


def client_id(text: str) -> int:
    """Decode ``c42``; a plus sign and leading zeros are accepted as the reference does. Raises `JsonError`."""
    if not text.startswith("c"):
        raise JsonError(f"ClientId must start with 'c', got '{text}'")
    digits = text[1:]
    if not digits:
        raise JsonError("ClientId parse: cannot parse integer from empty string")
    if digits[0] == "+":
        digits = digits[1:]
    if not (digits.isascii() and digits.isdigit()):
        raise JsonError("ClientId parse: invalid digit found in string")
    significant = digits.lstrip("0") or "0"
    if len(significant) > len(str(_LARGEST)) or int(significant) > _LARGEST:
        raise JsonError("ClientId parse: number too large to fit in target type")
    return int(significant)


def read_client_id(value: Raw) -> int:
    """A client id from a proven text. Raises `JsonError`."""
    return client_id(read_text(value))


def client_name(number: int) -> str:
    """The canonical text of a client id."""
    return f"c{number}"
