"""From a request line to a `Request`, or to the error text that clients know (spec 05 §2, §4).

Ops with plain members are decoded in one step; when that leaves no doubt (no escapes, no unknown or repeated members)
the result stands. Everything else goes the careful way, which also words the errors.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import islice
from typing import TYPE_CHECKING, Final

import msgspec

from myownmesh.control.catalogue import SERVED
from myownmesh.control.ops import OPS
from myownmesh.control.quick import Judge, judge_of
from myownmesh.control.request import Request
from myownmesh.protocol.json_words import JsonError, unknown_variant
from myownmesh.protocol.schema import read_tag, shape
from myownmesh.protocol.strict_json import decode_object

if TYPE_CHECKING:
    from collections.abc import Mapping

    from myownmesh.protocol.schema import Shape
    from myownmesh.protocol.strict_json import Members

_OP_VALUE: Final = re.compile(rb'"op"\s*:\s*(?:"(?:[^"\\]|\\.)*+"|[^\s,}\]"]*)')

_PLAIN_OP: Final = re.compile(rb'"op"\s*:\s*"([a-z0-9_]+)"')

_OP_WITHIN, _OPS_TRIED = 65536, 4
"""Where an op is looked for in a line that is no JSON: honest clients write it first."""


class ParseError(ValueError):
    """The line is no request that is served here. The text comes without the prefix ``parse: ``."""


Decoder = Callable[[bytes], Request]
"""Decodes one line, which must be valid UTF-8. Raises `ParseError`."""


def decoder(served: Mapping[str, type[Request]]) -> Decoder:
    """The decoder for a catalogue of requests by op. What reads an op in one step is made when it first comes."""
    quick: dict[bytes, _Quick | None] = {}
    careful = careful_decoder(served)

    def decode(line: bytes) -> Request:
        match = _PLAIN_OP.search(line)
        if match is None:
            return careful(line)
        op = match[1]
        try:
            way = quick[op]
        except KeyError:
            cls = served.get(op.decode())
            if cls is None:
                return careful(line)
            way = quick[op] = _quick(cls)
        if way is None:
            return careful(line)
        parse, judge = way
        try:
            request = parse(line)
        except (msgspec.DecodeError, RecursionError):
            return careful(line)
        return request if judge(line, request) else careful(line)

    return decode


_Quick = tuple[Callable[[bytes], Request], Judge]


class _NoOp(msgspec.Struct, tag_field="op", tag=""):
    """Makes a union of one class: alone, msgspec would take an object without an op for it."""


def _quick(cls: type[Request]) -> _Quick | None:
    """What reads a line of an op in one step, and judges the result; None for an op that is always read carefully."""
    judge = judge_of(cls)
    return None if judge is None else (msgspec.json.Decoder(cls | _NoOp).decode, judge)


def careful_decoder(served: Mapping[str, type[Request]]) -> Decoder:
    """The same without the quick way."""

    def decode(line: bytes) -> Request:
        try:
            found = decode_object(line, "internally tagged enum Request")
        except JsonError as error:
            if line.strip(b" \t\r") == b"[]":
                raise ParseError(f"missing field `op` at line 1 column {len(line)}") from None
            _check_op_alone(line, served)
            raise ParseError(_with_position(str(error), line)) from None
        plan: Shape[Request] = shape(_class_of(found, line, served))
        try:
            return plan.build(found)
        except JsonError as error:
            raise ParseError(str(error)) from None

    return decode


def _class_of(found: Members, line: bytes, served: Mapping[str, type[Request]]) -> type[Request]:
    """The request class that the member `op` names; the errors are those of a tag, with a position."""

    def arm(op: str) -> type[Request]:
        if op not in served:
            raise unknown_variant(op, OPS)
        return served[op]

    try:
        return read_tag(found, "op", arm)
    except JsonError as error:
        place = _op_position(line) if any(name == "op" for name, _ in found) else f" at line 1 column {len(line)}"
        raise ParseError(f"{error}{place}") from None


def _check_op_alone(line: bytes, served: Mapping[str, type[Request]]) -> None:
    """A line is no JSON: but an unknown op is told before whatever is wrong behind it, for clients look for that."""
    for match in islice(_OP_VALUE.finditer(line, 0, _OP_WITHIN), _OPS_TRIED):
        try:
            found = decode_object(line[: match.end()] + b"}", "")
        except JsonError:
            continue  # it stands inside another value, or the mistake is in front of it
        _class_of(found, line, served)
        return


def _op_position(line: bytes) -> str:
    match = _OP_VALUE.search(line)
    return f" at line 1 column {match.end() if match else len(line)}"


def _with_position(text: str, line: bytes) -> str:
    return text if " at line " in text else f"{text} at line 1 column {len(line)}"


decode: Final = decoder(SERVED)
"""Decodes one line, which must be valid UTF-8. Raises `ParseError`."""
