"""How many examples a property draws that has a number of its own."""

from __future__ import annotations

import os

LOOP = os.environ.get("MESH_TESTS", "whole")
"""`fast`: scripts/check; `brief`: scripts/test without --whole; otherwise all examples are drawn."""

FAST_EXAMPLES = 15


def examples(whole: int) -> int:
    """`whole`, or a few in the fast loop and the brief one."""
    return whole if LOOP == "whole" else min(whole, FAST_EXAMPLES)
