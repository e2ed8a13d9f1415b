"""A whole mesh in one process, on a virtual clock: real switches, a fake room and fake WebRTC.

Everything random comes from one seed, so a run that fails is a number that replays.
"""

from __future__ import annotations

from simulation.sim.clock import VirtualClock
from simulation.sim.node import Node
from simulation.sim.reference import ReferenceNode
from simulation.sim.room import Faults, Room
from simulation.sim.session import FakeSession
from simulation.sim.wire import Wire
from simulation.sim.world import World

__all__ = ["FakeSession", "Faults", "Node", "ReferenceNode", "Room", "VirtualClock", "Wire", "World"]
