"""The connection engine: who is linked to whom, proved and admitted. Sans-IO; its tests are in tests/unit/engine.

It is loaded when it is first used: a daemon that is in no network answers without it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from myownmesh.engine.config import EngineConfig
    from myownmesh.engine.engine import Engine, Outgoing
    from myownmesh.engine.errors import EngineError, FrameTooLarge, PeerNotAdmitted, PeerNotFound, ShutDown

__all__ = [
    "Engine",
    "EngineConfig",
    "EngineError",
    "FrameTooLarge",
    "Outgoing",
    "PeerNotAdmitted",
    "PeerNotFound",
    "ShutDown",
]

_PLACES: Final = {"Engine": "engine", "Outgoing": "engine", "EngineConfig": "config"}
"""Which module has a name; `errors` has the others."""


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PLACES.get(name, 'errors')}"), name)
