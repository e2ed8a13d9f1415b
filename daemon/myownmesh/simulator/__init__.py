"""A whole mesh in one process, on a virtual clock: real switches, a fake room and fake WebRTC.

Everything random comes from one seed, so a run that fails is a number that replays.
"""

from __future__ import annotations

from myownmesh.simulator.clock import VirtualClock
from myownmesh.simulator.node import Node
from myownmesh.simulator.reference import ReferenceNode
from myownmesh.simulator.room import Faults, Room
from myownmesh.simulator.session import FakeSession
from myownmesh.simulator.wire import Wire
from myownmesh.simulator.world import World

__all__ = ["FakeSession", "Faults", "Node", "ReferenceNode", "Room", "VirtualClock", "Wire", "World"]
