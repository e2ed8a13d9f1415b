"""The coturn that our configuration makes: the same server, told in its words."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest

from myownmesh.services.coturn import coturn_config
from myownmesh.store.services_config import ServicesConfig
from myownmesh.turn.targets import Targets, Verdict


def lines(*, private_peers: bool = False, **turn: Any) -> list[str]:
    return coturn_config(ServicesConfig.from_json({"turn": turn}).turn, private_peers=private_peers).splitlines()


def test_what_is_configured_is_said_in_coturns_words() -> None:
    made = lines(
        bind="192.0.2.1",
        public_ip="203.0.113.9",
        port=3479,
        realm="home",
        credentials=[{"username": "a", "password": "b"}],
        relay_port_min=50000,
        relay_port_max=50999,
        max_bps_per_connection=9000,
        tcp_enabled=True,
        tls={"cert_file": "/c.pem", "key_file": "/k.pem"},
    )
    assert {
        "listening-ip=192.0.2.1",
        "external-ip=203.0.113.9",
        "allowed-peer-ip=203.0.113.9",
        "listening-port=3479",
        "realm=home",
        "lt-cred-mech",
        "user=a:b",
        "min-port=50000",
        "max-port=50999",
        "max-bps=9000",
        "cert=/c.pem",
        "pkey=/k.pem",
        "tls-listening-port=5349",
    } <= set(made)
    assert not {"no-tcp", "no-tls"} & set(made)


def test_what_is_not_configured_is_left_to_coturn_or_switched_off() -> None:
    made = lines()
    assert {"no-tcp", "no-tls", "no-dtls"} <= set(made)
    assert not [
        line for line in made if line.startswith(("listening-ip", "external-ip", "min-port", "max-bps", "cert"))
    ]


@pytest.mark.parametrize("private_peers", [False, True])
def test_it_denies_what_ours_denies(*, private_peers: bool) -> None:
    targets = Targets("203.0.113.9", private_allowed=private_peers)
    denied = [line.partition("=")[2] for line in lines(private_peers=private_peers) if line.startswith("denied")]
    ends = [ipaddress.ip_address(end) for each in denied for end in each.split("-")]
    assert {targets.verdict(str(end)) for end in ends} == {Verdict.FORBIDDEN}
    assert ("10.0.0.0-10.255.255.255" in denied) is not private_peers
