"""When a request that was decoded in one step can be believed (spec 05 §2).

msgspec's parser keeps the last of repeated members and skips unknown ones. Without escapes each member brings two
quotation marks for its name, and a text two more; so a line whose count fits exactly leaves no room for either.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from types import NoneType
from typing import Annotated, Any, Final, cast, get_args, get_origin

import msgspec
from msgspec import UNSET, Raw, UnsetType

from myownmesh.protocol.canonical import range_check
from myownmesh.protocol.json_words import JsonError
from myownmesh.protocol.schema import Number
from myownmesh.protocol.strict_json import check_payload_limits

Judge = Callable[[bytes, Any], bool]
"""From a line and what was decoded of it: true when the decoder cannot have overlooked anything."""

_OP_QUOTES: Final = 4
_TEXT_QUOTES: Final = 4
_OTHER_QUOTES: Final = 2


def judge_of(cls: type[msgspec.Struct]) -> Judge | None:
    """The judge for an op, None for one that has more than plain members: those are always decoded carefully."""
    quotes, free = _OP_QUOTES, None
    optional: list[tuple[Callable[[Any], Any], object, int]] = []
    for field in msgspec.structs.fields(cls):
        hint = _plain(field.type)
        if hint is None or (hint is Raw and free is not None):
            return None
        if hint is Raw:
            free = field.name
        own = _TEXT_QUOTES if hint is str else _OTHER_QUOTES
        if field.required:
            quotes += own
        else:
            optional.append((attrgetter(field.name), field.default, own))
    payload = None if free is None else attrgetter(free)
    in_range = range_check(cls)

    def judge(line: bytes, request: Any) -> bool:
        if in_range is not None and not in_range(request):
            return False
        count = quotes
        for value, absent, own in optional:
            # A member that is there and says what its absence says is missed here: that line is decoded carefully.
            if value(request) != absent:
                count += own
        raw: Any = UNSET if payload is None else payload(request)
        if raw is UNSET:
            return line.count(b'"') == count and b"\\" not in line
        return _fits(line, count, raw)

    return judge


def _plain(hint: Any) -> Any:
    """The type of a member that is a text, a boolean, an integer or a free value; None for any other."""
    arms = [arm for arm in get_args(hint) if arm not in (NoneType, UnsetType)]
    if get_origin(hint) is Annotated:
        return int if isinstance(arms[1], Number) else None
    if len(arms) == 1:
        return _plain(arms[0])
    return hint if hint in (str, bool, Raw) else None


def _fits(line: bytes, quotes: int, raw: Raw) -> bool:
    value = cast("bytes", raw)
    before_tail = len(line) - 1
    if line.endswith(value, 0, before_tail):  # the usual order: the payload is the last member
        head = before_tail - len(value)
        if line.count(b'"', 0, head) != quotes or line.find(b"\\", 0, head) >= 0:
            return False
    else:
        payload = bytes(value)
        if line.count(b'"') - payload.count(b'"') != quotes or line.count(b"\\") != payload.count(b"\\"):
            return False
    try:
        check_payload_limits(raw, line)
    except JsonError:
        return False  # a number out of range, nesting too deep
    return True
