"""What every object in a file of ours has in common."""

from __future__ import annotations

from typing import Self

import msgspec

from myownmesh.protocol.schema import Unknown, read, written
from myownmesh.protocol.strict_json import dumps


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all objects in ``config.json`` and of those in requests that end up there.

    The members of a class are those of the object; what it does not know is kept and written back behind them, at every
    level (spec 07 C2).
    """

    unknown: Unknown = {}

    @classmethod
    def from_json(cls, value: object) -> Self:
        """The object that a decoded JSON value is; absent members take their defaults. Raises `JsonError`."""
        return read(cls, dumps(value))

    def to_json(self) -> dict[str, object]:
        """The object as Python values, members in declared order, secrets included."""
        return written(self)
