"""From a request line to a `Request`, or to the error text that clients know (spec 05 §2, §4).

Ops with plain members are decoded in one step; when that leaves no doubt (no escapes, no unknown or repeated members)
the result stands. Everything else goes the careful way, which also words the errors.
"""

from __future__ import annotations

import re
from functools import reduce
from itertools import islice
from operator import or_
from typing import TYPE_CHECKING, Final

import msgspec

from myownmesh.control.ops import OPS
from myownmesh.control.quick import judge_of
from myownmesh.control.requests import SERVED
from myownmesh.protocol.json_words import JsonError, unknown_variant
from myownmesh.protocol.schema import read_tag, shape
from myownmesh.protocol.strict_json import decode_object

if TYPE_CHECKING:
    from collections.abc import Callable

    from myownmesh.control.requests import Request
    from myownmesh.protocol.strict_json import Members

_OP_VALUE: Final = re.compile(rb'"op"\s*:\s*(?:"(?:[^"\\]|\\.)*+"|[^\s,}\]"]*)')

_OP_WITHIN, _OPS_TRIED = 65536, 4
"""Where an op is looked for in a line that is no JSON: honest clients write it first."""

_JUDGES: Final = {cls: judge for cls in SERVED.values() if (judge := judge_of(cls)) is not None}
"""The ops that are decoded in one step."""

_parse: Final[Callable[[bytes], Request]] = msgspec.json.Decoder(reduce(or_, _JUDGES)).decode


def decode(line: bytes) -> Request:
    """Decode one line, which must be valid UTF-8. Raises `ParseError`."""
    try:
        request = _parse(line)
    except (msgspec.DecodeError, RecursionError):
        return decode_carefully(line)
    return request if _JUDGES[type(request)](line, request) else decode_carefully(line)


# ── the careful way ──────────────────────────────────────────────────────────────────────────────────────────


class ParseError(ValueError):
    """The line is no request that is served here. The text comes without the prefix ``parse: ``."""


def decode_carefully(line: bytes) -> Request:
    """`decode` without the quick way."""
    try:
        found = decode_object(line, "internally tagged enum Request")
    except JsonError as error:
        if line.strip(b" \t\r") == b"[]":
            raise ParseError(f"missing field `op` at line 1 column {len(line)}") from None
        _check_op_alone(line)
        raise ParseError(_with_position(str(error), line)) from None
    cls = _class_of(found, line)
    try:
        request: Request = shape(cls).build(found)
    except JsonError as error:
        raise ParseError(str(error)) from None
    return request


def _class_of(found: Members, line: bytes) -> type[Request]:
    """The request class that the member `op` names; the errors are those of a tag, with a position."""
    try:
        return read_tag(found, "op", _served)
    except JsonError as error:
        place = _op_position(line) if any(name == "op" for name, _ in found) else f" at line 1 column {len(line)}"
        raise ParseError(f"{error}{place}") from None


def _served(op: str) -> type[Request]:
    if op not in SERVED:
        raise unknown_variant(op, OPS)
    return SERVED[op]


def _check_op_alone(line: bytes) -> None:
    """A line is no JSON: but an unknown op is told before whatever is wrong behind it, for clients look for that."""
    for match in islice(_OP_VALUE.finditer(line, 0, _OP_WITHIN), _OPS_TRIED):
        try:
            found = decode_object(line[: match.end()] + b"}", "")
        except JsonError:
            continue  # it stands inside another value, or the mistake is in front of it
        _class_of(found, line)
        return


def _op_position(line: bytes) -> str:
    match = _OP_VALUE.search(line)
    return f" at line 1 column {match.end() if match else len(line)}"


def _with_position(text: str, line: bytes) -> str:
    return text if " at line " in text else f"{text} at line 1 column {len(line)}"
