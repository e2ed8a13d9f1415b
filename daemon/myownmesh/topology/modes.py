"""Shapes as people write them and as JSON shows them (spec 04 §8.1, 05 §7.6)."""

from __future__ import annotations

import re
from typing import Final, assert_never

from mesh_common.views import HubsShape, RingShape, Shape, StarShape
from myownmesh.protocol.ids import WHITE_SPACE
from myownmesh.protocol.modes import FullMesh, Hubs, Ring, Star, TopologyMode, read_mode

__all__ = [
    "BadTopology",
    "FullMesh",
    "Hubs",
    "Ring",
    "Star",
    "TopologyMode",
    "effective",
    "parse_topology",
    "read_mode",
    "shape",
]

_COUNT: Final = re.compile(r"\+?0*([0-9]{1,10})")
_MAX_COUNT: Final = 2**32 - 1


class BadTopology(ValueError):
    """The text names no shape; the message is the one that people see."""


def parse_topology(topology: str, hub: str | None) -> TopologyMode:
    """Return the shape that `topology_set` and the command line name. Raises `BadTopology`."""
    match topology:
        case "ring":
            return Ring()
        case "full_mesh" | "fullmesh":
            return FullMesh()
        case "star":
            if hub is None:
                raise BadTopology("star topology requires --hub <device_id>")
            return Star(hub)
        case "hubs":
            if hub is None:
                raise BadTopology("hubs topology requires --hub <id[,id…][:redundancy]>")
            return _parse_hubs(hub)
        case _:
            raise BadTopology(f"unknown topology '{topology}' — expected ring | star | hubs | full_mesh")


def _parse_hubs(spec: str) -> Hubs:
    head, colon, tail = spec.rpartition(":")
    ids = head if colon else spec
    redundancy = _parse_redundancy(tail.strip(WHITE_SPACE)) if colon else None
    hubs = tuple(hub for item in ids.split(",") if (hub := item.strip(WHITE_SPACE)))
    if not hubs:
        raise BadTopology("hubs topology requires at least one hub id")
    return Hubs(hubs, redundancy)


def _parse_redundancy(text: str) -> int:
    match = _COUNT.fullmatch(text)
    count = None if match is None else int(match[1])
    if count is None or count > _MAX_COUNT:
        raise BadTopology(f"invalid spoke redundancy '{text}' — expected a number")
    return count


def shape(mode: TopologyMode) -> Shape:
    """The mode as local clients see it; what was not said is None."""
    match mode:
        case FullMesh():
            return Shape("full_mesh")
        case Ring():
            return RingShape("ring", mode.n_preferred)
        case Star():
            return StarShape("star", mode.hub)
        case Hubs():
            return HubsShape("hubs", mode.hubs, mode.spoke_redundancy)
        case _:
            assert_never(mode)


def effective(mode: TopologyMode) -> TopologyMode:
    """The same shape with every default filled in."""
    match mode:
        case Ring():
            return Ring(mode.effective_n_preferred)
        case Hubs():
            return Hubs(mode.hubs, mode.effective_spoke_redundancy)
        case _:
            return mode
