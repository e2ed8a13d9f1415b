"""How many examples a property draws that has a number of its own."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, TypeVar

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _pytest.mark.structures import ParameterSet

T = TypeVar("T")

FAST = os.environ.get("MESH_TESTS") == "fast"
"""The fast loop of scripts/check, or scripts/test without --whole; otherwise all examples are drawn."""

FAST_EXAMPLES = 15


def examples(whole: int) -> int:
    """`whole`, or a few in the fast loop."""
    return min(whole, FAST_EXAMPLES) if FAST else whole


def few(values: Iterable[T], *, every: int) -> list[T | ParameterSet]:
    """Parameters of which the first, and each `every`-th after it, stand for all where the slow tests are left out."""
    return [
        value if number % every == 0 else pytest.param(value, marks=pytest.mark.slow)
        for number, value in enumerate(values)
    ]
