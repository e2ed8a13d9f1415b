"""The shape of a network as a value: which peers hold a link (spec 04 §8.1).

The JSON of a mode travels in configuration, in signed governance entries and over the control socket. `None` means
"not said" and is kept, because the text is signed; the `effective_*` properties give the number to work with.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

import msgspec

from myownmesh.protocol.schema import U32, reader

if TYPE_CHECKING:
    from myownmesh.protocol.schema import Reader

DEFAULT_RING_NEIGHBOURS: Final = 3
DEFAULT_SPOKE_REDUNDANCY: Final = 2


class _Mode(msgspec.Struct, frozen=True, tag_field="kind"):
    UNION: ClassVar[str] = "TopologyMode"


class FullMesh(_Mode, frozen=True, tag="full_mesh"):
    """Everybody holds a link to everybody."""


class Ring(_Mode, frozen=True, tag="ring"):
    """Everybody prefers its nearest members on a circle of ids."""

    n_preferred: U32 | None = None

    @property
    def effective_n_preferred(self) -> int:
        return DEFAULT_RING_NEIGHBOURS if self.n_preferred is None else self.n_preferred


class Star(_Mode, frozen=True, tag="star"):
    """One hub, everybody else a spoke."""

    hub: str


class Hubs(_Mode, frozen=True, tag="hubs"):
    """Several hubs; every spoke holds a link to a few of them."""

    hubs: tuple[str, ...]
    spoke_redundancy: U32 | None = None

    @property
    def effective_spoke_redundancy(self) -> int:
        return DEFAULT_SPOKE_REDUNDANCY if self.spoke_redundancy is None else max(1, self.spoke_redundancy)


TopologyMode = Ring | Star | Hubs | FullMesh
"""In the order in which errors recite them."""


read_mode: Final[Reader[TopologyMode]] = reader(TopologyMode)
"""The one reader of a shape: in configuration, in signed entries, in requests. Raises `JsonError`."""
