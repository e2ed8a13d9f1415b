"""The shapes a network can take."""

from __future__ import annotations

from myownmesh.topology.modes import (
    BadTopology,
    FullMesh,
    Hubs,
    Ring,
    Star,
    TopologyMode,
    effective,
    parse_topology,
    shape,
)

__all__ = [
    "BadTopology",
    "FullMesh",
    "Hubs",
    "Ring",
    "Star",
    "TopologyMode",
    "effective",
    "parse_topology",
    "shape",
]
