"""What is wrong with a JSON text, in the words of the reference: local clients match on them (spec 05 §4)."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable

    from msgspec import Raw

MAX_QUOTED_CHARACTERS: Final = 100
"""How much of a text an error repeats: enough to find it, and a line of a log stays a line."""

_TEXT: Final = msgspec.json.Decoder(str)
# Written without fraction and exponent. "-0" is a float to the reference, and so it is here.
_INTEGER: Final = re.compile(rb"0|-?[1-9][0-9]{0,308}")
_BYTE_POSITION: Final = re.compile(r" \(byte (\d+)\)$")
_WHITE_SPACE: Final = b" \t\n\r"
_NO_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))
_OPENERS: Final = {ord("{"): "an object", ord("["): "a list"}
_ESCAPES: Final = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\0": "\\0"}
_PLAIN_PLACES, _PLAIN_ZEROS = 16, 5


class JsonError(ValueError):
    """The text is not what it has to be; the message is worded as the reference words it."""


# ── members and values ────────────────────────────────────────────────────────────────────────────────────────────────


def wrong_type(value: Raw, expected: str) -> JsonError:
    """The error for a proven value of another type."""
    return JsonError(f"invalid type: {describe(value)}, expected {expected}")


def missing_field(name: str) -> JsonError:
    """The error for a required member that is absent."""
    return JsonError(f"missing field `{name}`")


def duplicate_field(name: str) -> JsonError:
    """The error for a member that stands twice."""
    return JsonError(f"duplicate field `{name}`")


def unknown_variant(name: str, variants: Iterable[str]) -> JsonError:
    """The error for a word that is none of `variants`."""
    return JsonError(f"unknown variant `{name}`, expected one of {', '.join(f'`{variant}`' for variant in variants)}")


def describe(value: Raw) -> str:
    """What a proven value is, in the words that follow `invalid type:`."""
    data = bytes(value)
    match data[:1]:
        case b"{":
            return "map"
        case b"[":
            return "sequence"
        case b'"':
            text = _TEXT.decode(data)
            if len(text) > MAX_QUOTED_CHARACTERS:
                text = text[:MAX_QUOTED_CHARACTERS] + "…"
            return f"string {shown_text(text)}"
        case b"n":
            return "null"
        case b"t" | b"f":
            return f"boolean `{data.decode()}`"
        case _:
            number = whole_number(data)
            return f"floating point `{shown_float(float(data))}`" if number is None else f"integer `{number}`"


def whole_number(data: bytes) -> int | None:
    """The integer that a proven value is, or None. Beyond 64 bits the reference holds a float, and so do we."""
    if _INTEGER.fullmatch(data) is None:
        return None
    number = int(data)
    return number if -(2**63) <= number < 2**64 else None


def shown_float(number: float) -> str:
    """A finite number as the reference writes it in errors: the shortest digits, plain up to sixteen places."""
    sign, digits, exponent = Decimal(repr(number)).normalize().as_tuple()
    assert isinstance(exponent, int)
    text = "".join(map(str, digits))
    point = len(digits) + exponent  # where the decimal point stands, counted from the first digit
    if text == "0":
        text = "0.0"
    elif exponent >= 0 and point <= _PLAIN_PLACES:
        text += "0" * exponent + ".0"
    elif 0 < point <= _PLAIN_PLACES:
        text = f"{text[:point]}.{text[point:]}"
    elif -_PLAIN_ZEROS < point <= 0:
        text = f"0.{'0' * -point}{text}"
    else:
        text = f"{text[0]}{'.' if len(text) > 1 else ''}{text[1:]}e{point - 1}"
    return "-" + text if sign else text


def shown_text(text: str) -> str:
    """A text as the reference quotes it in errors: what cannot be seen is escaped, the rest stays."""
    return f'"{"".join(map(_shown_character, text))}"'


def _shown_character(character: str) -> str:
    if (escape := _ESCAPES.get(character)) is not None:
        return escape
    return character if character.isprintable() else f"\\u{{{ord(character):x}}}"


# ── syntax ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def syntax_error(message: str, data: bytes) -> JsonError:
    """The error for `data` that msgspec refuses with `message`. An early end names what was open."""
    if message == "Input data was truncated" or not data.strip(_WHITE_SPACE):
        line = data.count(b"\n") + 1
        column = len(data) - (data.rfind(b"\n") + 1)
        return JsonError(f"EOF while parsing {_open_at_end(data)} at line {line} column {column}")
    words = _BYTE_POSITION.sub("", message).removeprefix("JSON is malformed: ")
    position = _BYTE_POSITION.search(message)
    index = int(position[1]) if position else len(data) - 1
    if index == 0:
        words = "expected value"
    return JsonError(f"{words} at {place(data, index)}")


def place(data: bytes, index: int) -> str:
    """Where a byte stands; columns count bytes, from 1."""
    before = data[: index + 1]
    line = before.count(b"\n", 0, index) + 1
    line_start = before.rfind(b"\n", 0, index)
    return f"line {line} column {index - line_start}"


def outside_texts(data: bytes) -> list[bytes]:
    """A JSON text cut at its quotation marks: every second part, from the first, stands outside of strings."""
    if b"\\" in data:
        data = data.replace(b"\\\\", b"").replace(b'\\"', b"")  # in this order: pairs first, then escaped quotes
    return data.split(b'"')


def _open_at_end(data: bytes) -> str:
    parts = outside_texts(data)
    if len(parts) % 2 == 0:
        return "a string"
    tail = data.rstrip(_WHITE_SPACE)[-1:]
    closed = 0
    for bracket in reversed(b"".join(parts[::2]).translate(None, _NO_BRACKETS)):
        opened = _OPENERS.get(bracket)
        if opened is None:
            closed += 1
        elif closed:
            closed -= 1
        else:
            waits_for_value = tail == b":" or (tail == b"," and opened == "a list")
            return "a value" if waits_for_value else opened
    return "a value"
