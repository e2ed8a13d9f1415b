"""The reference's own daemon, which no checkout brings: tests that need it run where its path is named, and say so."""

from __future__ import annotations

import os
from typing import Final

import pytest

REFERENCE: Final = os.environ.get("MYOWNMESH_REFERENCE", "")
"""Path of a daemon of v0.3.8; empty where there is none."""

needs_reference: Final = pytest.mark.skipif(
    not REFERENCE, reason="NOT RUN AGAINST THE REFERENCE: MYOWNMESH_REFERENCE names no daemon of v0.3.8"
)
