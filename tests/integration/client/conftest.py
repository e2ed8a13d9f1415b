"""Pairs of daemons that the client's tests share: ours, and with the reference's where its path is given."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.daemons import MYOWNMESH
from support.devices import two_devices
from support.reference import REFERENCE, needs_reference

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.devices import Pair

PAIRS = [
    pytest.param((MYOWNMESH, MYOWNMESH), id="ours"),
    pytest.param((Path(REFERENCE), MYOWNMESH), id="reference", marks=needs_reference),
    pytest.param((MYOWNMESH, Path(REFERENCE)), id="peer-of-reference", marks=needs_reference),
]


@pytest.fixture(scope="module", params=PAIRS)
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    """Two devices that see each other; `a` is the one that a test is about."""
    with two_devices(*request.param) as devices:
        yield devices
