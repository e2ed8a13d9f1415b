"""Read a JSON file of ours: strict, with the reference's words for what is wrong, repeated members remembered."""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any, Final, NoReturn

from .errors import StoreError, os_error_text

if TYPE_CHECKING:
    from pathlib import Path

MAX_FILE_BYTES = 64 << 20  # a roster of a hundred thousand devices is a fifth of this; more is not one of our files


class JsonError(ValueError):
    """The text is not JSON; the message is the reference's, with line and column."""


class Members(dict[str, object]):
    """A JSON object that remembers all its members, in `pairs`, when a name stood in it more than once."""

    __slots__ = ("pairs",)

    def __init__(self, pairs: list[tuple[str, object]]) -> None:
        super().__init__(pairs)
        self.pairs = pairs if len(self) != len(pairs) else None


def parse_json(data: bytes) -> object:
    """Decode a JSON text. Raises `JsonError`; UTF-8 must have been checked by the caller."""
    text = data.decode("utf-8")
    try:
        value: object = json.loads(text, object_pairs_hook=Members, **_NUMBERS)
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode("utf-8")  # lone surrogates cannot be encoded
    except json.JSONDecodeError as error:
        raise JsonError(_words(text, error)) from None
    except UnicodeEncodeError:
        raise JsonError("lone surrogate in a string") from None
    except RecursionError:
        raise JsonError("recursion limit exceeded") from None
    return value


def read_file(path: Path, what: str) -> bytes | None:
    """The bytes of a text file, or None if there is none.

    Raises `StoreError` for a file that cannot be read or is not UTF-8: neither is corruption of ours to set aside.
    `what` begins the message, for example ``config: read``.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(f"{what} {path}: {os_error_text(error)}") from error
    if len(data) > MAX_FILE_BYTES:
        raise StoreError(f"{what} {path}: larger than {MAX_FILE_BYTES >> 20} MiB")
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise StoreError(f"{what} {path}: stream did not contain valid UTF-8") from error
    return data


def _refuse_constant(name: str) -> NoReturn:
    raise JsonError(f"expected value: {name} is not JSON")


def _integer(digits: str) -> int | float:
    """Beyond 64 bits the reference holds a floating point number; that also keeps the work for each one small."""
    number = _float(digits)
    if len(digits) > _MAX_INTEGER_DIGITS:
        return number
    exact = int(digits)
    return exact if -(1 << 63) <= exact < 1 << 64 else number


def _float(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise JsonError("number out of range")
    return number


_MAX_INTEGER_DIGITS = 20
_NUMBERS: Final[dict[str, Any]] = {
    "parse_constant": _refuse_constant,
    "parse_float": _float,
    "parse_int": _integer,
}


_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"?|[{}\[\]]', re.DOTALL)


def _words(text: str, error: json.JSONDecodeError) -> str:
    """The reference's sentence. An early end names what was open; the rest is the decoder's own word."""
    if error.pos < len(text.rstrip()) and not error.msg.startswith("Unterminated string"):
        message, line, column = error.msg, error.lineno, error.colno
    else:
        message = f"EOF while parsing {_open_at_end(text)}"
        line = text.count("\n") + 1
        column = len(text) - (text.rfind("\n") + 1)
    return f"{message} at line {line} column {column}"


def _open_at_end(text: str) -> str:
    stack: list[str] = []
    string = False
    for match in _TOKEN.finditer(text):
        token = match[0]
        if token in "{[":
            stack.append(token)
        elif token in "}]":
            if stack:
                stack.pop()
        else:
            string = match.end() == len(text) and (len(token) < 2 or not token.endswith('"'))
    if string:
        return "a string"
    tail = text.rstrip()[-1:]
    if not stack or tail == ":" or (tail == "," and stack[-1] == "["):
        return "a value"
    return "an object" if stack[-1] == "{" else "a list"
