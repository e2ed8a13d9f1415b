"""How many examples a property draws that has a number of its own."""

from __future__ import annotations

import os

FAST = os.environ.get("MESH_TESTS") == "fast"
"""The fast loop of scripts/check, or scripts/test without --whole; otherwise all examples are drawn."""

FAST_EXAMPLES = 15


def examples(whole: int) -> int:
    """`whole`, or a few in the fast loop."""
    return min(whole, FAST_EXAMPLES) if FAST else whole
