"""JSON from strangers, read as strictly as the reference reads it (spec 01 §4.3, 05 §2).

msgspec's parser already refuses everything that is not JSON, lone surrogates included. It does not look at three things
inside values that it passes on as raw text: whether the bytes are UTF-8, how deep they nest, and whether a number has a
finite value. This module adds those and tells repeated members from single ones.

The order of use is always the same: `proven` or `decode_object` takes bytes from outside and proves all of the text;
everything else takes `Raw` values that came out of it. What members a value must have, `schema` asks.
"""

from __future__ import annotations

import json
import math
import re
from array import array
from itertools import accumulate
from typing import Final

import msgspec
from msgspec import Raw

from myownmesh.protocol.json_words import JsonError, outside_texts, place, syntax_error, wrong_type

MAX_DEPTH: Final = 127
"""Nested arrays and objects, the outermost counted: the recursion limit of the reference's decoder."""

Members = list[tuple[str, Raw]]
"""An object as it was written: in order, repetitions kept."""

_RAW: Final = msgspec.json.Decoder(Raw)
_ANY: Final = msgspec.json.Decoder()
_OBJECT: Final = msgspec.json.Decoder(dict[str, Raw])
_ARRAY: Final = msgspec.json.Decoder(list[Raw])
_SCANNER: Final = json.JSONDecoder()

# Shorter ones cannot overflow.
_NUMBER: Final = re.compile(rb"[0-9][0-9.eE+-]{4,}")
_STEPS: Final = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
"""One level up, one level down, as signed bytes."""
_CHEAP_LEVELS: Final = 2
"""Nearly all that is long is flat and gone after them."""
_NO_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))

# A number can only overflow with an exponent of three digits, or with two hundred digits before the point. Two
# searches for a literal are many times faster than one for a class; for the digits every eighth byte is enough.
_LOWER_EXPONENT: Final = re.compile(rb"e\+?[0-9]{3}")
_UPPER_EXPONENT: Final = re.compile(rb"E\+?[0-9]{3}")
_EXPONENT: Final = re.compile(rb"[:,\[ \t\n\r][0-9.-]+[eE]\+?[0-9]{3}")
"""Where a number begins, and not amid hexadecimal digits, of which an event has 256."""
_ALL_EXPONENT: Final = re.compile(rb"[0-9.-]+[eE]\+?[0-9]{3}")
"""The whole text may be a number. One pattern for both could not look for its first byte, and takes three times as
long."""
_DIGIT_STRIDE: Final = 8
_DIGIT_RUN: Final = re.compile(rb"[0-9]{25}")
_SHORTEST_LONG_NUMBER: Final = _DIGIT_STRIDE * 25
_SHORTEST_TOO_DEEP: Final = 2 * (MAX_DEPTH + 1)
# A proven value is told by its first byte.
_QUOTE, _BRACE, _BRACKET, _LETTER_N = b'"{[n'
_MAX_INTEGER_DIGITS: Final = 20
"""Of 64 bits, the sign counted."""


# ── proving whole texts ───────────────────────────────────────────────────────────────────────────────────────────────


def proven(data: bytes) -> Raw:
    """The one JSON value that `data` is by our rules, without white space around it. Raises `JsonError`."""
    try:
        value = _RAW.decode(data)
    except msgspec.DecodeError as error:
        raise syntax_error(str(error), data) from None
    except RecursionError:
        raise JsonError("recursion limit exceeded") from None
    check_unicode(data)
    check_limits(data)
    return value


def check_unicode(data: bytes) -> None:
    """Prove that `data` is UTF-8. Raises `JsonError`."""
    if not data.isascii():
        try:
            data.decode()
        except UnicodeDecodeError as error:
            raise JsonError(f"invalid unicode code point at {place(data, error.start)}") from None


def check_limits(data: bytes) -> None:
    """Prove the nesting depth and the number range of a text whose syntax msgspec has accepted. Raises `JsonError`."""
    if len(data) >= _SHORTEST_TOO_DEEP and _openers(data) > MAX_DEPTH:
        _check_depth(data)
    if (
        (_LOWER_EXPONENT.search(data) or _UPPER_EXPONENT.search(data))
        and (_EXPONENT.search(data) or _ALL_EXPONENT.match(data))
    ) or (len(data) >= _SHORTEST_LONG_NUMBER and _DIGIT_RUN.search(data[::_DIGIT_STRIDE])):
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
    brackets = b"".join(outside_texts(data)[::2]).translate(_STEPS, _NO_BRACKETS)
    for _ in range(_CHEAP_LEVELS):
        brackets = brackets.replace(b"\x01\xff", b"")  # takes exactly one level off, the innermost of every branch
    if _CHEAP_LEVELS + max(accumulate(array("b", brackets)), default=0) > MAX_DEPTH:
        raise JsonError("recursion limit exceeded")


def _check_numbers(data: bytes) -> None:
    for number in _NUMBER.findall(b"".join(outside_texts(data)[::2])):
        if math.isinf(float(number)):
            raise JsonError("number out of range")


# ── taking proven texts apart ─────────────────────────────────────────────────────────────────────────────────────────


def decode_object(data: bytes, expected: str = "a map") -> Members:
    """Prove `data` and return its members. Raises `JsonError`, also for any other kind of value."""
    try:
        found = _OBJECT.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise wrong_type(proven(data), expected) from None
    check_unicode(data)
    check_limits(data)
    return _members(data, found)


def decode_array(data: bytes) -> list[Raw]:
    """Prove `data` and return its elements. Raises `JsonError`, also for any other kind of value."""
    try:
        found = _ARRAY.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise wrong_type(proven(data), "a sequence") from None
    check_unicode(data)
    check_limits(data)
    return found


def members(value: Raw, expected: str = "a map") -> Members:
    """The members of an object that is part of a proven text. Raises `JsonError` for any other kind of value."""
    data = bytes(value)
    if data[0] != _BRACE:
        raise wrong_type(value, expected)
    return _members(data, _OBJECT.decode(data))


def elements(value: Raw) -> list[Raw]:
    """The elements of an array that is part of a proven text. Raises `JsonError` for any other kind of value."""
    if memoryview(value)[0] != _BRACKET:
        raise wrong_type(value, "a sequence")
    return _ARRAY.decode(value)


def _members(data: bytes, found: dict[str, Raw]) -> Members:
    if _fills(data, found):
        return list(found.items())
    compact = msgspec.json.format(data, indent=-1)
    if len(compact) < len(data) and _fills(compact, _OBJECT.decode(compact)):
        return list(found.items())  # it was only white space
    return _scan_members(data)


def _fills(data: bytes, found: dict[str, Raw]) -> bool:
    # Every member takes at least its name, its value, two quotes, a colon and a comma. When the members that were found
    # fill the text to the last byte, none was dropped as a repetition.
    filled = 1
    for name, value in found.items():
        filled += len(name if name.isascii() else name.encode()) + len(memoryview(value)) + 4
    return filled == len(data)


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


def is_null(value: Raw) -> bool:
    """True for `null`; no other value begins with its first letter."""
    return memoryview(value)[0] == _LETTER_N


# ── free values ───────────────────────────────────────────────────────────────────────────────────────────────────────


def loads(data: bytes) -> object:
    """Prove `data` and return it as `python_value` does. Raises `JsonError`."""
    return python_value(proven(data))


def python_value(value: Raw) -> object:
    """A proven value as Python values. The last of repeated members wins; integers beyond 64 bits become floats."""
    found: object = _read(bytes(value).decode())
    return found


def _integer(digits: str) -> int | float:
    if len(digits) > _MAX_INTEGER_DIGITS:
        return float(digits)
    number = int(digits)
    return number if -(2**63) <= number < 2**64 else float(number)


_read: Final = json.JSONDecoder(parse_int=_integer).decode
_write: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def compact_json(value: object) -> str:
    """A Python value without spaces, only quotes, backslashes and C0 controls escaped; event ids are made of it.

    Raises `ValueError` for NaN and infinities. Lone surrogates stay, and have no bytes.
    """
    return _write(value)


def dumps(value: object) -> Raw:
    """Write a Python value as `compact_json`. Raises `ValueError`, for lone surrogates too."""
    return Raw(compact_json(value).encode())
