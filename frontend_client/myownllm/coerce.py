"""Small total readings of JSON that people and older builds wrote: a wrong type is a default, never an exception."""

from __future__ import annotations

import math
from contextlib import suppress
from typing import Any, Final, TypeVar

import msgspec
from msgspec.structs import fields

Json = Any
JsonObject = dict[str, Any]
STAMP_END: Final = 2**63
"""More than any clock shows, in milliseconds."""
_NO_SETTING: Final = ("servers", "listen_only")
"""Of `signaling`: relays have a member of their own, and nobody is told to listen only."""
UNREADABLE: Final = (msgspec.ValidationError, UnicodeEncodeError)
"""What a conversion raises: a member of the wrong type, or half a surrogate pair where only certain words may stand."""
S = TypeVar("S", bound=msgspec.Struct)


def as_object(value: Json) -> JsonObject:
    return value if isinstance(value, dict) else {}


def tolerant(cls: type[S], value: Json, **required: Any) -> S:
    """`value` as `cls`: a member of the wrong type counts as absent, and `required` are then in its place."""
    try:
        return msgspec.convert(value, cls)
    except UNREADABLE:
        raw, members = as_object(value), required
    for field in fields(cls):
        with suppress(KeyError, *UNREADABLE):
            members[field.name] = msgspec.convert(raw[field.name], field.type)
    return cls(**members)


def strings(value: Json) -> tuple[str, ...]:
    """The strings in a list; anything else is empty."""
    return tuple(v for v in value if isinstance(v, str)) if isinstance(value, list) else ()


def signaling(value: Json) -> JsonObject | None:
    """What a `signaling` object says beside its relays, as far as a daemon could read it; None for nothing."""
    kept = {
        name: member
        for name, member in as_object(value).items()
        if name not in _NO_SETTING and (isinstance(member, bool | int | str) or _is_text_list(member))
    }
    return kept or None


def _is_text_list(value: Json) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def is_number(value: Json) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def port(value: Json, default: int) -> int:
    """A port to listen at, 0 for a free one; anything else is `default`."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**16 else default


def stamp(value: Json) -> int:
    """An edit stamp in milliseconds: floored, never negative, 0 when it is no number or beyond every clock."""
    return math.floor(value) if is_number(value) and 0 <= value < STAMP_END else 0


def topology(value: Json) -> JsonObject | None:
    """A topology as stored, or None when it must be left out (spec 08 §6.3)."""
    match value:
        case {"kind": "ring"}:
            n = value.get("n_preferred")
            if is_number(n) and math.isfinite(n) and math.floor(n) >= 1:
                return {"kind": "ring", "n_preferred": math.floor(n)}
            return {"kind": "ring"}
        case {"kind": "star", "hub": str(hub)} if hub:
            return {"kind": "star", "hub": hub}
        case {"kind": "full_mesh"}:
            return {"kind": "full_mesh"}
        case {"kind": "hubs"}:
            hubs = [h for h in strings(value.get("hubs")) if h]
            if not hubs:
                return None
            redundancy = value.get("spoke_redundancy")
            shape: JsonObject = {"kind": "hubs", "hubs": hubs}
            if is_number(redundancy) and math.isfinite(redundancy) and math.floor(redundancy) >= 1:
                shape["spoke_redundancy"] = math.floor(redundancy)
            return shape
    return None


def nests_deeper(value: Json, levels: int) -> bool:
    """Has the value more levels of lists and objects than that? Whoever writes JSON back recurses once per level."""
    layer = [value]
    for _ in range(levels + 1):
        layer = [
            inner
            for item in layer
            if isinstance(item, list | dict)
            for inner in (item.values() if isinstance(item, dict) else item)
        ]
        if not layer:
            return False
    return True
