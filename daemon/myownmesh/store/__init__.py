"""This device's files: where they are, how they are written, and what stands in them."""

from __future__ import annotations

from .errors import StoreError
from .paths import Home

__all__ = ["Home", "StoreError"]
