"""What is decided before anything is done (spec 06 §10)."""

from __future__ import annotations

import re
from typing import Any

import pytest
from msgspec.structs import replace

from myownmesh.caddy.plan import Ports, Wanted, apply_needed, hosted, ports, wanted
from myownmesh.store.services_config import ServicesConfig
from support.vectors import load

VECTORS: dict[str, Any] = load("signaling", "caddy_installer")


@pytest.mark.parametrize("case", VECTORS["apply_needed"])
def test_caddy_is_told_as_in_the_vectors(case: dict[str, Any]) -> None:
    asked = {name: case[name] for name in ("module_changed", "config_changed", "running")}
    assert apply_needed(**asked) is case["apply"]


def test_a_wish_in_any_spelling() -> None:
    full = wanted(" wss://Mesh.example.org./x", None, "203.0.113.7", relay_only=False)
    assert full == Wanted("Mesh.example.org", "turn.Mesh.example.org", "203.0.113.7")
    assert wanted("a.example", "https://b.example", None, relay_only=False).turn_site == "b.example"
    assert wanted("a.example", None, None, relay_only=True).turn_site is None


@pytest.mark.parametrize(
    ("domain", "turn_domain", "public_ip", "relay_only", "said"),
    [
        ("a b", None, None, False, "'a b' is no domain"),
        ("a.example", "a b", None, False, "'a b' is no domain"),
        ("a.example", "a.example", None, False, "need two names"),
        ("a.example", None, "2001:db8::1", False, "'2001:db8::1' is no IPv4 address"),
        ("a.example", "b.example", None, True, "neither --turn-domain nor --public-ip"),
        ("a.example", None, "203.0.113.7", True, "neither --turn-domain nor --public-ip"),
    ],
)
def test_a_wish_that_cannot_be(
    domain: str, turn_domain: str | None, public_ip: str | None, relay_only: bool, said: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        wanted(domain, turn_domain, public_ip, relay_only=relay_only)


def test_what_is_hosted_then() -> None:
    """Spec 06 §10, row config.json."""
    before = ServicesConfig.from_json({"turn": {"realm": "mine"}, "signaling": {"port": 5000}})
    after = hosted(before, Wanted("a.example", "turn.a.example"), "203.0.113.7")
    assert after.to_json()["signaling"] == {
        **before.signaling.to_json(),
        "enabled": True,
        "bind": "127.0.0.1",
        "public_url": "wss://a.example",
    }
    turn = {"enabled": True, "tcp_enabled": True, "bind": "0.0.0.0", "port": 3478, "public_ip": "203.0.113.7"}
    turn |= {"relay_port_min": 49152, "relay_port_max": 65535}
    assert after.to_json()["turn"] == {**before.turn.to_json(), **turn}
    assert hosted(after, Wanted("a.example", "turn.a.example"), "203.0.113.7") == after


def test_a_window_that_somebody_chose_stays() -> None:
    chosen = ServicesConfig.from_json({"turn": {"relay_port_min": 50000, "relay_port_max": 50100}})
    after = hosted(chosen, Wanted("a.example", "turn.a.example"), "203.0.113.7")
    assert (after.turn.relay_port_min, after.turn.relay_port_max) == (50000, 50100)


def test_for_the_relay_alone_turn_is_left_as_it_is() -> None:
    before = ServicesConfig.from_json({"turn": {"tls": {"cert_file": "a", "key_file": "b"}}})
    after = hosted(before, Wanted("a.example", None), "")
    assert after.turn == before.turn
    assert ports(after, Wanted("a.example", None)) == (Ports(80, 80, "tcp"), Ports(443, 443, "tcp"))


def test_two_cannot_listen_on_one_port() -> None:
    ours = ServicesConfig.from_json({"turn": {"tls": {"cert_file": "a", "key_file": "b"}}})
    with pytest.raises(ValueError, match="port 5349, which Caddy would need"):
        hosted(ours, Wanted("a.example", "turn.a.example"), "203.0.113.7")
    tls = {**dict(ours.turn.unknown["tls"]), "port": 5350}
    other = replace(ours, turn=replace(ours.turn, unknown={"tls": tls}))
    assert hosted(other, Wanted("a.example", "turn.a.example"), "203.0.113.7").turn.tls is not None


def test_the_ports_of_spec_06_section_11() -> None:
    plan = Wanted("a.example", "turn.a.example")
    listed = ports(hosted(ServicesConfig(), plan, "203.0.113.7"), plan)
    assert [each.text("-") for each in listed] == [
        "80/tcp", "443/tcp", "3478/tcp", "5349/tcp", "3478/udp", "49152-65535/udp",
    ]  # fmt: skip
    assert listed[-1].text(":") == "49152:65535/udp"
