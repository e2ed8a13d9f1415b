"""This device's files: where they are, how they are written, and what stands in them.

Names are loaded when first used, so that a command that needs one path does not pay for the whole room.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from myownmesh.store.errors import StoreError

if TYPE_CHECKING:
    from myownmesh.store.paths import Home
    from myownmesh.store.store import AlreadyRunning, Store, open_store

__all__ = ["AlreadyRunning", "Home", "Store", "StoreError", "open_store"]


def __getattr__(name: str) -> object:
    match name:
        case "Home":
            from myownmesh.store.paths import Home

            return Home
        case "AlreadyRunning" | "Store" | "open_store":
            from myownmesh.store import store

            return getattr(store, name)
        case _:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
