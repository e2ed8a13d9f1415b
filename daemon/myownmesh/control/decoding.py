"""From a request line to a `Request`, or to the error text that clients know (spec 05 §2, §4).

Lines of the frequent ops are decoded in one step; when that leaves no doubt (no escapes, no unknown or repeated
members) the result stands. Everything else goes the careful way, which also words the errors.
"""

from __future__ import annotations

import json
import re
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar, cast

import msgspec
from msgspec import UNSET, Raw, UnsetType

from myownmesh.control import requests
from myownmesh.control.client_id import client_id
from myownmesh.control.ops import OPS
from myownmesh.control.requests import (
    ChannelSendAll,
    ChannelSendTo,
    ClientId,
    Milliseconds,
    NetworksList,
    NetworkUpdate,
    PeersList,
    Request,
    RpcCall,
    RpcRespond,
    RpcStreamChunk,
    RpcStreamEnd,
    Status,
)
from myownmesh.protocol.capabilities import Capabilities
from myownmesh.protocol.json_words import JsonError, duplicate_field, unknown_variant
from myownmesh.protocol.schema import U64, read_bool, read_tag, read_text, reader
from myownmesh.protocol.strict_json import check_payload_limits, decode_object, is_null
from myownmesh.store.config import NetworkConfig, ServicesConfig
from myownmesh.store.json_file import Members
from myownmesh.store.shape import ShapeError

if TYPE_CHECKING:
    from collections.abc import Callable

    from myownmesh.protocol import strict_json

T = TypeVar("T")

MAX_TYPED_BYTES = 256 * 1024
"""Largest ``config`` or ``services`` object; real ones have some kilobytes."""

SERVED: dict[str, type[Request]] = {
    str(cls.__struct_config__.tag): cls
    for cls in vars(requests).values()
    if isinstance(cls, type) and issubclass(cls, Request) and cls is not Request
}
"""Op name → request class, for every op of this release."""

_Frequent = (
    Status
    | NetworksList
    | PeersList
    | RpcCall
    | RpcRespond
    | RpcStreamChunk
    | RpcStreamEnd
    | ChannelSendTo
    | ChannelSendAll
)
_frequent = msgspec.json.Decoder(_Frequent)
_OP_VALUE = re.compile(rb'"op"\s*:\s*(?:"(?:[^"\\]|\\.)*+"|[^\s,}\]"]*)')

_OP_WITHIN, _OPS_TRIED = 65536, 4
"""Where an op is looked for in a line that is no JSON: honest clients write it first."""

_U64_LIMIT = 1 << 64


def decode(line: bytes) -> Request:
    """Decode one line, which must be valid UTF-8. Raises `ParseError`."""
    try:
        request = _frequent.decode(line)
    except (msgspec.DecodeError, RecursionError):
        return _decode_carefully(line)
    return request if _is_beyond_doubt(line, request) else _decode_carefully(line)


# ── the quick way ────────────────────────────────────────────────────────────────────────────────────────────


def _is_beyond_doubt(line: bytes, request: _Frequent) -> bool:
    """True when the decoder cannot have overlooked anything.

    It keeps the last of repeated members and skips unknown ones. Without escapes each member brings two quotation
    marks for its name and a text two more, so a count that fits exactly leaves no room for either.
    """
    # `op` itself brings four.
    match request:
        case RpcCall():
            quotes = 18
            if request.timeout_ms is not None:
                quotes = 20
                if not 0 <= request.timeout_ms < _U64_LIMIT:
                    return False
            raw: Raw | None = request.payload
        case ChannelSendTo():
            quotes, raw = 18, request.payload
        case RpcRespond():
            raw = None if request.ok is UNSET else request.ok
            quotes = 8 + (raw is not None) * 2 + (request.error is not None) * 4
        case RpcStreamChunk():
            quotes, raw = 10, request.payload
        case ChannelSendAll():
            quotes, raw = 14, request.payload
        case RpcStreamEnd():
            quotes, raw = 8 + (request.error is not None) * 4, None
        case PeersList():
            quotes, raw = 8, None
        case _:
            quotes, raw = 4, None
    if raw is None:
        return line.count(b'"') == quotes and b"\\" not in line
    before_tail = len(line) - 1
    if line.endswith(cast("bytes", raw), 0, before_tail):  # the usual order: the payload is the last member
        head = before_tail - len(cast("bytes", raw))
        if line.count(b'"', 0, head) != quotes or line.find(b"\\", 0, head) >= 0:
            return False
    else:
        payload = bytes(raw)
        if line.count(b'"') - payload.count(b'"') != quotes or line.count(b"\\") != payload.count(b"\\"):
            return False
    return _is_sound(raw, line)


def _is_sound(raw: Raw, line: bytes) -> bool:
    """True unless the careful way would refuse this value: a number out of range, nesting too deep."""
    try:
        check_payload_limits(raw, line)
    except JsonError:
        return False
    return True


# ── the careful way ──────────────────────────────────────────────────────────────────────────────────────────


class ParseError(ValueError):
    """The line is no request that is served here. The text comes without the prefix ``parse: ``."""


def _decode_carefully(line: bytes) -> Request:
    try:
        found = decode_object(line, "internally tagged enum Request")
    except JsonError as error:
        if line.strip(b" \t\r") == b"[]":
            raise ParseError(f"missing field `op` at line 1 column {len(line)}") from None
        _check_op_alone(line)
        raise ParseError(_with_position(str(error), line)) from None
    cls = _class_of(found, line)
    decoders, required = _shape(cls)
    try:
        known = _decoded(found, decoders)
    except (JsonError, ShapeError) as error:
        raise ParseError(str(error)) from None
    for name in required:
        if name not in known:
            raise ParseError(f"missing field `{name}`")
    if cls is NetworkUpdate:
        known["given"] = _given(next(raw for name, raw in found if name == "config"))
    return cls(**known)


def _decoded(found: strict_json.Members, decoders: dict[str, Callable[[Raw], Any]]) -> dict[str, Any]:
    """The known members. Of several mistakes the first one is told, in the order in which they stand."""
    known: dict[str, Any] = {}
    for name, raw in found:
        decoder = decoders.get(name)
        if decoder is None:
            continue
        if name in known:
            raise duplicate_field(name)
        known[name] = decoder(raw)
    return known


def _class_of(found: strict_json.Members, line: bytes) -> type[Request]:
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


# ── members ──────────────────────────────────────────────────────────────────────────────────────────────────


def _value(raw: Raw) -> object:
    """A typed object as Python values. Raises `ParseError` for one that no honest client sends."""
    text = bytes(raw)
    if len(text) > MAX_TYPED_BYTES:
        raise ParseError(f"object too large ({len(text)} bytes; at most {MAX_TYPED_BYTES})")
    value: object = json.loads(text, object_pairs_hook=Members, parse_int=_integer)
    return value


def _integer(digits: str) -> int | float:
    """Integers beyond 64 bits are floating point, as for the reference."""
    if len(digits) > 20:
        return float(digits)
    value = int(digits)
    return value if -(1 << 63) <= value < _U64_LIMIT else float(value)


def _structured(from_json: Callable[[object], T]) -> Callable[[Raw], T]:
    return lambda raw: from_json(_value(raw))


def _nullable(inner: Callable[[Raw], T]) -> Callable[[Raw], T | None]:
    return lambda raw: None if is_null(raw) else inner(raw)


def _given(raw: Raw) -> frozenset[str]:
    record = _value(raw)
    if not isinstance(record, dict):
        return frozenset()
    signaling = record.get("signaling")
    inner = (f"signaling.{name}" for name in signaling) if isinstance(signaling, dict) else ()
    return frozenset(record).union(inner)


def _as_is(raw: Raw) -> Raw:
    return raw


_u64 = reader(U64)

_DECODERS: dict[object, Callable[[Raw], Any]] = {
    str: read_text,
    bool: read_bool,
    str | None: _nullable(read_text),
    ClientId: lambda raw: client_id(read_text(raw)),
    Milliseconds: _u64,
    Milliseconds | None: _nullable(_u64),
    Raw: _as_is,
    Raw | UnsetType: _as_is,
    Capabilities: reader(Capabilities),
    NetworkConfig: _structured(NetworkConfig.from_json),
    ServicesConfig: _structured(ServicesConfig.from_json),
}
"""What the type of a request's member accepts."""


@cache
def _shape(cls: type[Request]) -> tuple[dict[str, Callable[[Raw], Any]], tuple[str, ...]]:
    """Decoders of all members, and the names of those that must be there, both in declared order."""
    fields = [field for field in msgspec.structs.fields(cls) if field.name != "given"]
    return {field.name: _DECODERS[field.type] for field in fields}, tuple(f.name for f in fields if f.required)
