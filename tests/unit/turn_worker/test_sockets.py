"""Ports that the system gives."""

from __future__ import annotations

from typing import Any

import pytest

from myownmesh.turn_worker.sockets import open_relay, window
from support import vectors


@pytest.mark.parametrize("case", vectors.load("signaling", "turn")["relay_port_window"], ids=lambda case: case["min"])
def test_the_window_is_that_of_the_vectors(case: dict[str, Any]) -> None:
    ports = window(case["min"], case["max"])
    effective = case.get("effective", [case["min"], case["max"]])
    assert ports == (range(effective[0], effective[1] + 1) if case["min"] else range(0))


def test_an_even_port_is_found_every_time() -> None:
    """With eight tries, one in 256 clients heard that there was none."""
    for _ in range(2000):
        relay = open_relay((), even=True)
        assert relay is not None
        with relay:
            assert relay.getsockname()[1] % 2 == 0


def test_a_window_that_is_used_up_gives_nothing() -> None:
    first = open_relay((), even=False)
    assert first is not None
    with first:
        port = first.getsockname()[1]
        assert open_relay(range(port, port + 1), even=False) is None
