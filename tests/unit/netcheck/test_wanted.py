"""Which servers a look asks."""

from __future__ import annotations

from myownmesh.netcheck.wanted import MOST_SERVERS, NOTHING, Adopted, wanted
from myownmesh.store.network_config import NetworkConfig, SignalingConfig, StunEntry, TurnEntry
from myownmesh.transport.session import IceServer

APP = "app"


def record(name: str, *relays: str, **members: object) -> NetworkConfig:
    signaling = SignalingConfig(servers=relays, mdns=False) if relays else SignalingConfig(strategy="none")
    usual: dict[str, object] = {"stun_servers": (), "turn_servers": ()}
    return NetworkConfig(id=name, network_id=name, signaling=signaling, **{**usual, **members})  # type: ignore[arg-type]  # each test names members by their types


def test_each_server_is_asked_once_and_knows_its_networks() -> None:
    stun = (StunEntry(urls=("stun:s.example",)),)
    first, second = record("a", "wss://r.example", stun_servers=stun), record("b", "wss://r.example", stun_servers=stun)
    found = wanted([(first, NOTHING), (second, NOTHING)], APP)
    assert {server.url: users for server, users in found.servers.items()} == {
        "wss://r.example": ("a", "b"),
        "stun:s.example": ("a", "b"),
    }
    assert (found.networks, found.lan_networks) == (("a", "b"), ())


def test_what_is_no_address_is_left_out() -> None:
    turn = (TurnEntry(urls=("turn:t.example", "turn:t.example?transport=udp", "turns:t", "http://x"), username="u"),)
    found = wanted([(record("a", "wss://r", "ftp://r", turn_servers=turn), NOTHING)], APP)
    assert [(server.kind, server.url, server.over) for server in found.servers] == [
        ("relay", "wss://r", "tls"),
        ("turn", "turn:t.example", "udp"),
        ("turn", "turn:t.example?transport=udp", "udp"),
        ("turn", "turns:t", "tls"),
    ]


def test_a_network_of_the_local_network_has_no_relay() -> None:
    found = wanted([(record("a"), NOTHING)], APP)
    assert not found.servers
    assert found.lan_networks == ("a",)


def test_what_members_host_is_asked_too() -> None:
    adopted = Adopted(("ws://10.0.0.1:4848",), (IceServer(("turn:10.0.0.1", "stun:10.0.0.1"), "u", "p"),))
    found = wanted([(record("a"), adopted)], APP)
    assert [(server.kind, server.from_member) for server in found.servers] == [
        ("relay", True),
        ("stun", True),
        ("turn", True),
    ]


def test_without_networks_those_of_a_new_one_are_asked() -> None:
    found = wanted([], APP)
    assert {server.kind for server in found.servers} == {"relay", "stun", "turn"}
    assert found.networks == ()


def test_no_more_sockets_than_a_device_has() -> None:
    stun = (StunEntry(urls=tuple(f"stun:s{n}.example" for n in range(500))),)
    assert len(wanted([(record("a", "wss://r", stun_servers=stun), NOTHING)], APP).servers) == MOST_SERVERS


def test_a_password_is_in_no_log() -> None:
    turn = (TurnEntry(urls=("turn:t.example",), username="u", credential="secret"),)
    assert "secret" not in repr(wanted([(record("a", turn_servers=turn), NOTHING)], APP))
