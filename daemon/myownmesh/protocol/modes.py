"""The shape of a network as a value: which peers hold a link (spec 04 §8.1).

The JSON of a mode travels in configuration, in signed governance entries and over the control socket. `None` means
"not said" and is kept, because the text is signed; the `effective_*` properties give the number to work with.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from myownmesh.protocol.strict_json import (
    JsonError,
    is_null,
    members,
    missing_field,
    read_integer,
    read_text,
    read_texts,
    typed_members,
    unknown_variant,
)

if TYPE_CHECKING:
    from msgspec import Raw

DEFAULT_RING_NEIGHBOURS: Final = 3
DEFAULT_SPOKE_REDUNDANCY: Final = 2
KINDS: Final = ("ring", "star", "hubs", "full_mesh")


class FullMesh(msgspec.Struct, frozen=True, tag_field="kind", tag="full_mesh"):
    """Everybody holds a link to everybody."""


class Ring(msgspec.Struct, frozen=True, tag_field="kind", tag="ring"):
    """Everybody prefers its nearest members on a circle of ids."""

    n_preferred: int | None = None

    @property
    def effective_n_preferred(self) -> int:
        return DEFAULT_RING_NEIGHBOURS if self.n_preferred is None else self.n_preferred


class Star(msgspec.Struct, frozen=True, tag_field="kind", tag="star"):
    """One hub, everybody else a spoke."""

    hub: str


class Hubs(msgspec.Struct, frozen=True, tag_field="kind", tag="hubs"):
    """Several hubs; every spoke holds a link to a few of them."""

    hubs: tuple[str, ...]
    spoke_redundancy: int | None = None

    @property
    def effective_spoke_redundancy(self) -> int:
        return DEFAULT_SPOKE_REDUNDANCY if self.spoke_redundancy is None else max(1, self.spoke_redundancy)


TopologyMode = FullMesh | Ring | Star | Hubs


def read_mode(value: Raw) -> TopologyMode:
    """A shape from a proven text. Raises `JsonError`."""
    found = members(value, "internally tagged enum TopologyMode")
    fields = typed_members(found, {"kind", "n_preferred", "hub", "hubs", "spoke_redundancy"})
    kind = read_text(_required(fields, "kind"))
    match kind:
        case "full_mesh":
            return FullMesh()
        case "ring":
            return Ring(_optional_count(fields, "n_preferred"))
        case "star":
            return Star(read_text(_required(fields, "hub")))
        case "hubs":
            return Hubs(read_texts(_required(fields, "hubs")), _optional_count(fields, "spoke_redundancy"))
        case _:
            raise JsonError(unknown_variant(kind, KINDS))


def _required(fields: dict[str, Raw], name: str) -> Raw:
    if name not in fields:
        raise JsonError(missing_field(name))
    return fields[name]


def _optional_count(fields: dict[str, Raw], name: str) -> int | None:
    value = fields.get(name)
    return None if value is None or is_null(value) else read_integer(value, "u32")
