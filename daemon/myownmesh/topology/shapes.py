"""Who holds a link to whom, one module per shape. The engine asks a shape and knows none by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, assert_never

from myownmesh.protocol.modes import FullMesh, Hubs, Ring, Star
from myownmesh.topology.choices import BY_IDS
from myownmesh.topology.full_mesh import FullMeshShape
from myownmesh.topology.hubs import MAX_HUBS, HubsShape
from myownmesh.topology.ring import RingShape
from myownmesh.topology.star import StarShape

if TYPE_CHECKING:
    from collections.abc import Collection, Container, Iterable

    from myownmesh.protocol.modes import TopologyMode
    from myownmesh.topology.choices import Choices
    from myownmesh.topology.members import Members


class Shape(Protocol):
    """Pure functions of who is there: every member comes to the same answer from the same members (spec 04 §8.2)."""

    prunes: bool
    """May a link that nobody wants be ended? Then broadcasts travel by forwarders, too."""
    flood_ttl: int
    """Hops that an envelope may travel."""
    changes_with_members: bool
    """May a link that is wanted not be wanted any more when others come? Then most of the first ones will be pruned."""

    def preferred(self, me: str, members: Collection[str], /) -> Container[str]:
        """Of these members those whom `me` sends its broadcasts; the others are shelved. `me` need not be listed."""

    def edge(self, me: str, peer: str, members: Members, /) -> bool:
        """Should `me` and `peer` hold a link? Symmetric; neither need be listed."""

    def wanted(self, me: str, members: Members, /) -> set[str]:
        """Everybody of these whom `me` has an edge with, without `me`."""

    def forwards(self, member: str, /) -> bool:
        """Does this member carry envelopes of others?"""

    def next_hops(self, me: str, dest: str, connected: Iterable[str], /) -> list[str]:
        """Of the connected peers those to try, in order, for what is to reach `dest`."""


def shape_of(mode: TopologyMode, choices: Choices = BY_IDS) -> Shape:
    """What a mode means. Of more than `MAX_HUBS` hubs the first count. `choices` are a replay's."""
    match mode:
        case FullMesh():
            return FullMeshShape()
        case Ring():
            return RingShape(mode.effective_n_preferred, choices)
        case Star():
            return StarShape(mode.hub)
        case Hubs():
            return HubsShape(mode.hubs[:MAX_HUBS], mode.effective_spoke_redundancy, choices)
        case _:
            assert_never(mode)
