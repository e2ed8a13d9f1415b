"""The shapes that this version can keep, one module each. The engine asks them and knows none by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from myownmesh.protocol.modes import FullMesh
from myownmesh.topology import full_mesh

if TYPE_CHECKING:
    from collections.abc import Collection, Container

    from myownmesh.protocol.modes import TopologyMode


class Shape(Protocol):
    """Who holds a link to whom, as a function of who is there (spec 04 §8.2)."""

    def preferred(self, me: str, members: Collection[str], /) -> Container[str]:
        """Of these members those whom `me` sends its broadcasts; the others are shelved. `me` need not be listed."""

    def edge(self, me: str, peer: str, members: Collection[str], /) -> bool:
        """Should `me` and `peer` hold a link? Symmetric; neither need be listed."""


SHAPES: Final[dict[type[TopologyMode], Shape]] = {FullMesh: full_mesh}
"""What is built. A new shape is a module and a line here; the other modes are read, kept and shown."""


def is_built(mode: TopologyMode) -> bool:
    """May a network be set to this mode?"""
    return type(mode) in SHAPES


def shape_of(mode: TopologyMode) -> Shape:
    """The shape of a mode; one that is not built yet, from a file of another version, behaves as a full mesh."""
    return SHAPES.get(type(mode), full_mesh)
