"""Which TURN servers are asked over a stream (vector `turn_url_parsing`)."""

from __future__ import annotations

from typing import Any

import pytest

from myownmesh.transport.servers import split_servers
from myownmesh.transport.session import IceServer
from support import vectors

LEFT_OUT = {
    "turns:host?transport=udp": "this release speaks no DTLS, and does not take TLS for it",
    "turn:host:notaport?transport=tcp": "no port",
    "stun:host:3478": "no TURN server",
}
"""What our own grammar refuses, so that no server is asked at all (06 P)."""


@pytest.mark.parametrize("case", vectors.load("signaling", "turn_url_parsing")["cases"], ids=lambda case: case["url"])
def test_streams_lead_where_the_vectors_say(case: dict[str, Any]) -> None:
    _, servers = split_servers((IceServer((case["url"],), "guest", "word"),))
    if case["url"] in LEFT_OUT:
        assert servers == ()
        return
    (server,) = servers
    over = case["stream_endpoint"]
    assert server.transport == ("udp" if over is None else "tcp")
    if over is not None:
        assert (server.host, server.port, server.tls) == (over["host"], over["port"], over["tls"])
