"""Pairs of daemons that the client's tests share: ours, and with the reference's where its path is given."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.daemons import MYOWNMESH
from support.devices import two_devices

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.devices import Pair

REFERENCE = os.environ.get("MYOWNMESH_REFERENCE", "")
REFERENCE_ONLY = pytest.mark.skipif(
    not REFERENCE, reason="NOT RUN AGAINST THE REFERENCE: MYOWNMESH_REFERENCE names no daemon of v0.3.8"
)
PAIRS = [
    pytest.param((MYOWNMESH, MYOWNMESH), id="ours"),
    pytest.param((Path(REFERENCE), MYOWNMESH), id="reference", marks=REFERENCE_ONLY),
    pytest.param((MYOWNMESH, Path(REFERENCE)), id="peer-of-reference", marks=REFERENCE_ONLY),
]


@pytest.fixture(scope="module", params=PAIRS)
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    """Two devices that see each other; `a` is the one that a test is about."""
    with two_devices(*request.param) as devices:
        yield devices
