"""This device's files: where they are, how they are written, and what stands in them."""

from __future__ import annotations

from .errors import StoreError
from .paths import Home
from .store import AlreadyRunning, Store, open_store

__all__ = ["AlreadyRunning", "Home", "Store", "StoreError", "open_store"]
