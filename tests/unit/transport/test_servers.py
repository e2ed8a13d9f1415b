"""STUN and TURN addresses of the configuration."""

from __future__ import annotations

import pytest

from myownmesh.transport.servers import MAX_SERVERS, StunServer, TurnServer, split_servers
from myownmesh.transport.session import IceServer


def test_shipped_defaults() -> None:
    stun, turn = split_servers(
        (
            IceServer(("stun:stun.myownmesh.com:3478",)),
            IceServer(
                (
                    "turn:turn.myownmesh.com:3478",
                    "turn:turn.myownmesh.com:3478?transport=tcp",
                    "turns:turn.myownmesh.com:5349?transport=tcp",
                ),
                "guest",
                "secret",
            ),
        )
    )
    host = "turn.myownmesh.com"
    assert stun == (StunServer("stun.myownmesh.com", 3478),)
    assert turn == (
        TurnServer(host, 3478, "udp", False, "guest", "secret"),
        TurnServer(host, 3478, "tcp", False, "guest", "secret"),
        TurnServer(host, 5349, "tcp", True, "guest", "secret"),
    )


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("stun:a", StunServer("a", 3478)),
        ("STUN:a", StunServer("a", 3478)),
        ("stun:192.0.2.1:9", StunServer("192.0.2.1", 9)),
        ("stun:[2001:db8::1]:9", StunServer("2001:db8::1", 9)),
    ],
)
def test_stun_urls(url: str, expected: StunServer) -> None:
    assert split_servers((IceServer((url,)),)) == ((expected,), ())


@pytest.mark.parametrize(
    "url", ["", "stun:", "http://a", "stun:a:0", "stun:a:99999", "turns:a?transport=udp", "turn:a?x=1"]
)
def test_unreadable_urls_are_left_out(url: str) -> None:
    assert split_servers((IceServer((url,)),)) == ((), ())


def test_spellings_of_one_server_are_one() -> None:
    urls = ("stun:Bücher.example", "STUN:xn--bcher-kva.example:3478", "stun:bücher.example.", " stun:bücher.example")
    assert split_servers((IceServer(urls),)) == ((StunServer("xn--bcher-kva.example", 3478),), ())
    _, turn = split_servers((IceServer(("turn:T:3478", "turn:t?transport=udp"), "me", "secret"),))
    assert turn == (TurnServer("t", 3478, "udp", False, "me", "secret"),)


def test_servers_are_bounded_and_not_repeated() -> None:
    stun, _ = split_servers((IceServer(tuple(f"stun:h{n}" for n in range(50))), IceServer(("stun:h1", "stun:h1"))))
    assert len(stun) == MAX_SERVERS
    assert len(set(stun)) == MAX_SERVERS


def test_one_server_of_each_kind_before_a_second_of_any() -> None:
    """The bound must not cut the one that gets through a firewall."""
    udp = tuple(f"turn:h{n}" for n in range(20))
    _, turn = split_servers((IceServer((*udp, "turn:t?transport=tcp", "turns:s"), "me", "secret"),))
    assert len(turn) == MAX_SERVERS
    assert [server.host for server in turn] == ["h0", "t", "s", "h1", "h2", "h3", "h4", "h5"]
    _, few = split_servers((IceServer((*udp[:6], "turns:s"), "me", "secret"),))
    assert [server.host for server in few] == ["h0", "h1", "h2", "h3", "h4", "h5", "s"]  # as the operator wrote it
