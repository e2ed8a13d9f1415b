"""JSON from strangers, read as strictly as the reference reads it (spec 01 §4.3, 05 §2).

msgspec's parser already refuses everything that is not JSON, lone surrogates included. It does not look at three things
inside values that it passes on as raw text: whether the bytes are UTF-8, how deep they nest, and whether a number has a
finite value. This module adds those, tells repeated members from single ones, and words errors as serde does, because
local clients match on them.

The order of use is always the same: `decode_object` takes bytes from outside and proves all of the text; everything
else takes `Raw` values that came out of it and only asks what they are.
"""

from __future__ import annotations

import json
import math
import re
from array import array
from decimal import Decimal
from itertools import accumulate
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Raw

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

MAX_DEPTH: Final = 127
"""Nested arrays and objects, the outermost counted: the recursion limit of the reference's decoder."""

Members = list[tuple[str, Raw]]
"""An object as it was written: in order, repetitions kept."""

_RAW: Final = msgspec.json.Decoder(Raw)
_ANY: Final = msgspec.json.Decoder()
_OBJECT: Final = msgspec.json.Decoder(dict[str, Raw])
_ARRAY: Final = msgspec.json.Decoder(list[Raw])
_TEXT: Final = msgspec.json.Decoder(str)
_SCANNER: Final = json.JSONDecoder()

_INTEGERS: Final = {
    "u8": (0, 2**8 - 1),
    "u16": (0, 2**16 - 1),
    "u32": (0, 2**32 - 1),
    "u64": (0, 2**64 - 1),
    "i64": (-(2**63), 2**63 - 1),
}
# Written without fraction and exponent. "-0" is a float to the reference, and so it is here.
_INTEGER: Final = re.compile(rb"0|-?[1-9][0-9]{0,308}")
# Shorter ones cannot overflow.
_NUMBER: Final = re.compile(rb"[0-9][0-9.eE+-]{4,}")
_ONLY_WHITE_SPACE: Final = re.compile(rb"[ \t\n\r]*")
_BYTE_POSITION: Final = re.compile(r" \(byte (\d+)\)$")
_STEPS: Final = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")  # one level up, one level down, as signed bytes
_CHEAP_LEVELS: Final = 2  # nearly all that is long is flat and gone after them
_NO_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))

# A number can only overflow with an exponent of three digits, or with two hundred digits before the point. Two
# searches for a literal are many times faster than one for a class; for the digits every eighth byte is enough.
_LOWER_EXPONENT: Final = re.compile(rb"e\+?[0-9]{3}")
_UPPER_EXPONENT: Final = re.compile(rb"E\+?[0-9]{3}")
_DIGIT_STRIDE: Final = 8
_DIGIT_RUN: Final = re.compile(rb"[0-9]{25}")
_SHORTEST_LONG_NUMBER: Final = _DIGIT_STRIDE * 25
_SHORTEST_TOO_DEEP: Final = 2 * (MAX_DEPTH + 1)
# A proven value is told by its first byte.
_QUOTE, _BRACKET, _LETTER_N, _LETTER_T, _LETTER_F = b'"[ntf'
_MAX_QUOTED_CHARACTERS: Final = 100
_ESCAPES: Final = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\0": "\\0"}
_PLAIN_PLACES, _PLAIN_ZEROS = 16, 5


class JsonError(ValueError):
    """The text is not what it has to be; the message is worded as the reference words it."""


# ---------------------------------------------------------------------------------------------- proving whole texts


def check_text(data: bytes) -> None:
    """Prove that `data` is one JSON value by our rules, white space around it allowed. Raises `JsonError`."""
    try:
        _RAW.decode(data)
    except msgspec.DecodeError as error:
        raise JsonError(_syntax_words(str(error), data)) from None
    except RecursionError:
        raise JsonError("recursion limit exceeded") from None
    check_unicode(data)
    check_limits(data)


def check_unicode(data: bytes) -> None:
    """Prove that `data` is UTF-8. Raises `JsonError`."""
    if not data.isascii():
        try:
            data.decode()
        except UnicodeDecodeError as error:
            raise JsonError(f"invalid unicode code point at {_place(data, error.start)}") from None


def check_limits(data: bytes) -> None:
    """Prove the nesting depth and the number range of a text whose syntax msgspec has accepted. Raises `JsonError`."""
    if len(data) >= _SHORTEST_TOO_DEEP and _openers(data) > MAX_DEPTH:
        _check_depth(data)
    if (
        _LOWER_EXPONENT.search(data)
        or _UPPER_EXPONENT.search(data)
        or (len(data) >= _SHORTEST_LONG_NUMBER and _DIGIT_RUN.search(data[::_DIGIT_STRIDE]))
    ):
        _check_numbers(data)


def check_payload_limits(payload: Raw, frame: bytes) -> None:
    """`check_limits` for a frame whose only free value is `payload`; quick for short values and for plain strings."""
    view = memoryview(payload)
    if view[0] == _QUOTE:
        return
    if len(view) < _SHORTEST_LONG_NUMBER:
        # Too short to be deep or to spell a huge integer; the parser itself refuses an infinite float.
        try:
            _ANY.decode(view)
        except msgspec.DecodeError:
            raise JsonError("number out of range") from None
        return
    check_limits(frame)


def _openers(data: bytes) -> int:
    # Counting costs as much as parsing; finding nothing is nearly free, and most long texts have no array at all.
    braces = 1 if data.find(b"{", 1) < 0 else data.count(b"{")
    return braces + (data.count(b"[") if b"[" in data else 0)


def _check_depth(data: bytes) -> None:
    brackets = _outside_texts(data).translate(_STEPS, _NO_BRACKETS)
    for _ in range(_CHEAP_LEVELS):
        brackets = brackets.replace(b"\x01\xff", b"")  # takes exactly one level off, the innermost of every branch
    if _CHEAP_LEVELS + max(accumulate(array("b", brackets)), default=0) > MAX_DEPTH:
        raise JsonError("recursion limit exceeded")


def _check_numbers(data: bytes) -> None:
    for number in _NUMBER.findall(_outside_texts(data)):
        if math.isinf(float(number)):
            raise JsonError("number out of range")


def _outside_texts(data: bytes) -> bytes:
    """A valid JSON text without its strings."""
    if b"\\" in data:
        data = data.replace(b"\\\\", b"").replace(b'\\"', b"")  # in this order: pairs first, then escaped quotes
    return b"".join(data.split(b'"')[::2])


# ------------------------------------------------------------------------------------------------- taking texts apart


def decode_object(data: bytes, expected: str = "a map") -> Members:
    """Prove `data` and return its members. Raises `JsonError`, also for any other kind of value."""
    try:
        found = _OBJECT.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        check_text(data)
        raise JsonError(f"invalid type: {describe(_RAW.decode(data))}, expected {expected}") from None
    check_unicode(data)
    check_limits(data)
    return _members(data, found)


def members(value: Raw, expected: str = "a map") -> Members:
    """The members of an object that is part of a proven text. Raises `JsonError` for any other kind of value."""
    data = bytes(value)
    if not data.startswith(b"{"):
        raise JsonError(f"invalid type: {describe(value)}, expected {expected}")
    return _members(data, _OBJECT.decode(data))


def elements(value: Raw, expected: str = "a sequence") -> list[Raw]:
    """The elements of an array that is part of a proven text. Raises `JsonError` for any other kind of value."""
    if memoryview(value)[0] != _BRACKET:
        raise JsonError(f"invalid type: {describe(value)}, expected {expected}")
    return _ARRAY.decode(value)


def _members(data: bytes, found: dict[str, Raw]) -> Members:
    # Every member takes at least its name, its value, two quotes, a colon and a comma. When the members that were found
    # fill the text to the last byte, none was dropped as a repetition.
    filled = 1
    for name, value in found.items():
        filled += len(name if name.isascii() else name.encode()) + len(memoryview(value)) + 4
    return list(found.items()) if filled == len(data) else _scan_members(data)


def _scan_members(data: bytes) -> Members:
    """Split a proven object member by member."""
    text = data.decode()
    found: Members = []
    position = _skip_space(text, text.index("{") + 1)
    while text[position] != "}":
        name, position = _SCANNER.raw_decode(text, position)
        start = _skip_space(text, text.index(":", position) + 1)
        _, position = _SCANNER.raw_decode(text, start)
        found.append((name, Raw(text[start:position].encode())))
        position = _skip_space(text, position)
        if text[position] == ",":
            position = _skip_space(text, position + 1)
    return found


def _skip_space(text: str, position: int) -> int:
    while text[position] in " \t\n\r":
        position += 1
    return position


def typed_members(found: Members, known: Collection[str]) -> dict[str, Raw]:
    """The members that a typed object defines. Raises `JsonError` when one is repeated; unknown ones may be."""
    typed: dict[str, Raw] = {}
    for name, value in found:
        if name in known:
            if name in typed:
                raise JsonError(duplicate_field(name))
            typed[name] = value
    return typed


# ----------------------------------------------------------------------------------------------- reading proven values


def is_null(value: Raw) -> bool:
    """True for `null`; no other value begins with its first letter."""
    return memoryview(value)[0] == _LETTER_N


def read_text(value: Raw) -> str:
    """A string. Raises `JsonError`."""
    if memoryview(value)[0] != _QUOTE:
        raise JsonError(f"invalid type: {describe(value)}, expected a string")
    return _TEXT.decode(value)


def read_bool(value: Raw) -> bool:
    """A boolean. Raises `JsonError`."""
    first = memoryview(value)[0]
    if first in (_LETTER_T, _LETTER_F):
        return first == _LETTER_T
    raise JsonError(f"invalid type: {describe(value)}, expected a boolean")


def read_integer(value: Raw, kind: str) -> int:
    """An integer of the range `kind`: `u8`, `u16`, `u32`, `u64` or `i64`. Raises `JsonError`."""
    least, most = _INTEGERS[kind]
    number = _integer(bytes(value))
    if number is None:
        raise JsonError(f"invalid type: {describe(value)}, expected {kind}")
    if not least <= number <= most:
        raise JsonError(f"invalid value: integer `{number}`, expected {kind}")
    return number


def read_texts(value: Raw) -> tuple[str, ...]:
    """An array of strings. Raises `JsonError`."""
    return tuple(read_text(element) for element in elements(value))


def read_variant(value: Raw, variants: Sequence[str]) -> str:
    """One of several fixed strings. Raises `JsonError`."""
    name = read_text(value)
    if name not in variants:
        raise JsonError(unknown_variant(name, variants))
    return name


def unknown_variant(name: str, variants: Sequence[str]) -> str:
    """The words for a name that is none of `variants`, of which there are at least three."""
    return f"unknown variant `{name}`, expected one of {', '.join(f'`{variant}`' for variant in variants)}"


def missing_field(name: str) -> str:
    """The words for a required member that is absent."""
    return f"missing field `{name}`"


def describe(value: Raw) -> str:
    """What a value is, in the words that follow `invalid type:`."""
    data = bytes(value)
    match data[:1]:
        case b"{":
            return "map"
        case b"[":
            return "sequence"
        case b'"':
            text = _TEXT.decode(data)
            if len(text) > _MAX_QUOTED_CHARACTERS:
                text = text[:_MAX_QUOTED_CHARACTERS] + "…"
            return f"string {shown_text(text)}"
        case b"n":
            return "null"
        case b"t" | b"f":
            return f"boolean `{data.decode()}`"
        case _:
            number = _integer(data)
            return f"floating point `{shown_float(float(data))}`" if number is None else f"integer `{number}`"


def _integer(data: bytes) -> int | None:
    if _INTEGER.fullmatch(data) is None:
        return None
    number = int(data)
    # Beyond 64 bits the reference holds a float.
    return number if -(2**63) <= number < 2**64 else None


def duplicate_field(name: str) -> str:
    """The words for a member that stands twice."""
    return f"duplicate field `{name}`"


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


# ------------------------------------------------------------------------------------------------- whole Python values


def loads(data: bytes | Raw) -> object:
    """Prove `data` and return it as a Python value; the last of repeated members wins. Raises `JsonError`."""
    text = bytes(data)
    check_text(text)
    return _ANY.decode(text)


def dumps(value: object) -> Raw:
    """Write a Python value as compact JSON. Raises `ValueError` for NaN, infinities and lone surrogates."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Raw(text.encode())


# -------------------------------------------------------------------------------------------------------------- words


def _syntax_words(message: str, data: bytes) -> str:
    if message == "Input data was truncated" or _ONLY_WHITE_SPACE.fullmatch(data):
        return f"EOF while parsing a value at {_place(data, len(data) - 1)}"
    words = _BYTE_POSITION.sub("", message).removeprefix("JSON is malformed: ")
    position = _BYTE_POSITION.search(message)
    index = int(position[1]) if position else len(data) - 1
    if index == 0:
        words = "expected value"
    return f"{words} at {_place(data, index)}"


def _place(data: bytes, index: int) -> str:
    before = data[: index + 1]
    line = before.count(b"\n", 0, index) + 1
    line_start = before.rfind(b"\n", 0, index)
    return f"line {line} column {index - line_start}"
