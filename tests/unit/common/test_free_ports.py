"""Ports for programs under test: each asked for once, none that somebody listens on."""

from __future__ import annotations

import socket

from support.ports import free_port


def test_a_port_is_given_once_and_nobody_listens_on_it() -> None:
    first = free_port()
    with socket.create_server(("127.0.0.1", first)):
        others = {free_port() for _ in range(99)}
    assert first not in others
    assert all(port < 32_768 for port in {first, *others})
