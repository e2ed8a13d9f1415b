"""The connection engine: who is linked to whom, proved and admitted. Sans-IO; its tests are in tests/unit/engine."""

from __future__ import annotations

from myownmesh.engine.config import EngineConfig
from myownmesh.engine.engine import Engine, Outgoing
from myownmesh.engine.errors import EngineError, FrameTooLarge, PeerNotAdmitted, PeerNotFound

__all__ = [
    "Engine",
    "EngineConfig",
    "EngineError",
    "FrameTooLarge",
    "Outgoing",
    "PeerNotAdmitted",
    "PeerNotFound",
]
