"""The member `keep` of ops that put an authority out (spec 02 §24.3 no. 47)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

from myownmesh.governance.succession import Keep
from myownmesh.protocol.ids import BadDeviceId, parse_device_id
from myownmesh.protocol.json_words import JsonError
from myownmesh.protocol.schema import ReadBy
from myownmesh.protocol.strict_json import python_value

if TYPE_CHECKING:
    from msgspec import Raw

_U64: Final = 2**64


def read_keep(value: Raw) -> Keep:
    """`"all"`, `"none"`, a list of device ids, or `{"before": time}` in Unix seconds. Raises `JsonError`."""
    told = python_value(value)
    if told == "all":
        return Keep()
    if told == "none":
        return Keep(frozenset())
    if isinstance(told, list) and all(isinstance(each, str) for each in told):
        try:
            return Keep(frozenset(map(parse_device_id, told)))
        except BadDeviceId as error:
            raise JsonError(f"keep: {error}") from error
    before = told.get("before") if isinstance(told, dict) else None
    if isinstance(before, int) and not isinstance(before, bool) and 0 <= before < _U64:
        return Keep(before=before)
    raise JsonError('keep: expected "all", "none", a list of device ids or {"before": seconds}')


Kept = Annotated[Keep, ReadBy(read_keep)]
"""Which admits of an authority that goes are signed anew: all, none, those of some devices, or those before a time."""
KEEP_ALL: Final = Keep()
