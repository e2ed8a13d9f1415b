"""What networks had counted that are left, so that counters over all networks never fall."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh_common.views import Lane, Traffic

if TYPE_CHECKING:
    from collections.abc import Iterable

    from myownmesh.mesh.network import Network


class Departed:
    """What networks had counted that are left, so that counters never fall."""

    def __init__(self) -> None:
        self.traffic = Traffic()

    def add(self, network: Network) -> None:
        self.traffic = summed([self.traffic, network.summary().traffic])


def summed(parts: Iterable[Traffic]) -> Traffic:
    """One traffic out of several; none of them changes any more by it."""
    whole = Traffic()
    for part in parts:
        for name in Traffic.__struct_fields__:
            here, there = getattr(whole, name), getattr(part, name)
            if isinstance(here, Lane):
                here.frames += there.frames
                here.bytes += there.bytes
            else:
                setattr(whole, name, here + there)
    return whole
