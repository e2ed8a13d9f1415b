"""Randomness that can be repeated."""

from __future__ import annotations

import random

import pytest


@pytest.fixture
def seeded() -> random.Random:
    return random.Random(15)
