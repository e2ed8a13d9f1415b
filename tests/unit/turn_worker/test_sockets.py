"""Ports that the system gives."""

from __future__ import annotations

import errno
import socket
from typing import Any

import pytest

from myownmesh.transport.interfaces import machine_addresses
from myownmesh.turn_worker.sockets import open_relay, window
from support import vectors


@pytest.mark.parametrize("case", vectors.load("signaling", "turn")["relay_port_window"], ids=lambda case: case["min"])
def test_the_window_is_that_of_the_vectors(case: dict[str, Any]) -> None:
    ports = window(case["min"], case["max"])
    effective = case.get("effective", [case["min"], case["max"]])
    assert ports == (range(effective[0], effective[1] + 1) if case["min"] else range(0))
    relay = open_relay(ports, even=False)
    assert relay is not None
    with relay:
        port = relay.getsockname()[1]
    match case.get("port", "within window"):
        case "within window":
            assert port in range(effective[0], effective[1] + 1)
        case "operating system choice":
            assert port
        case other:
            pytest.fail(f"nobody reads the port {other!r}")


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


def test_packets_leave_from_the_address_that_clients_are_told() -> None:
    mine = next((each for each in machine_addresses() if "." in each and not each.startswith("127.")), None)
    if mine is not None:  # a machine may have none
        relay = open_relay((), even=False, told=mine)
        assert relay is not None
        with relay:
            assert relay.getsockname()[0] == mine
    for elsewhere in ("192.0.2.200", "127.0.0.1"):  # a router's, and one for tests
        relay = open_relay((), even=False, told=elsewhere)
        assert relay is not None
        with relay:
            assert relay.getsockname()[0] == "0.0.0.0"


def test_without_a_descriptor_there_is_no_relay(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(*_: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(socket, "socket", none_left)
    assert open_relay((), even=False, told="192.0.2.200") is None
