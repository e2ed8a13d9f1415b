"""Which addresses are offered, and how candidate lines are read."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import ifaddr
import pytest
from hypothesis import given
from hypothesis import strategies as st

from myownmesh.transport.addresses import (
    MAX_HOST_ADDRESSES,
    address_gathered,
    host_addresses,
    interface_excluded,
)
from myownmesh.transport.candidates import MAX_CANDIDATE_CHARS, kind_of_type, parse_candidate

TOPOLOGY: dict[str, Any] = json.loads((Path(__file__).parents[2] / "vectors" / "topology.json").read_text())
HOST = "candidate:1 1 udp 2130706431 192.0.2.1 5000 typ host"


@pytest.mark.parametrize("case", TOPOLOGY["interface_filter"], ids=lambda case: case["name"])
def test_interface_filter(case: dict[str, Any]) -> None:
    assert interface_excluded(case["name"]) is case["excluded"]


@pytest.mark.parametrize("case", TOPOLOGY["address_filter"], ids=lambda case: case["address"])
def test_address_filter(case: dict[str, Any]) -> None:
    assert address_gathered(case["address"]) is case["gathered"]


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "0.0.0.0", "::", "224.0.0.1", "not an address", ""])
def test_addresses_that_mean_nothing_to_a_peer_are_not_gathered(address: str) -> None:
    assert not address_gathered(address)


def adapter(name: str, *addresses: str | tuple[str, int, int]) -> SimpleNamespace:
    return SimpleNamespace(name=name, nice_name=name, ips=[SimpleNamespace(ip=address) for address in addresses])


def use_adapters(monkeypatch: pytest.MonkeyPatch, *adapters: SimpleNamespace) -> None:
    monkeypatch.setattr(ifaddr, "get_adapters", lambda: adapters)


LOOPBACK = adapter("lo", "127.0.0.1", ("::1", 0, 0))


def test_usable_addresses_in_the_order_of_the_interfaces(monkeypatch: pytest.MonkeyPatch) -> None:
    use_adapters(
        monkeypatch,
        LOOPBACK,
        adapter("eth0", "192.0.2.2", ("fd00::2", 0, 0), ("fe80::1", 0, 4)),
        adapter("docker0", "172.17.0.1"),
        adapter("wg0", "10.8.0.2", "169.254.3.4"),
    )
    assert host_addresses() == ["192.0.2.2", "fd00::2", "10.8.0.2"]


def test_loopback_is_used_only_where_there_is_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    use_adapters(monkeypatch, LOOPBACK, adapter("docker0", "172.17.0.1"), adapter("eth0", ("fe80::1", 0, 4)))
    assert host_addresses() == ["127.0.0.1"]
    use_adapters(monkeypatch, adapter("lo", ("::1", 0, 0)))
    assert host_addresses() == ["::1"]
    use_adapters(monkeypatch)
    assert host_addresses() == []


def test_the_number_of_addresses_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    use_adapters(monkeypatch, adapter("eth0", *(f"10.0.0.{n}" for n in range(1, 200))))
    assert len(host_addresses()) == MAX_HOST_ADDRESSES


@pytest.mark.parametrize("case", TOPOLOGY["candidates"]["cases"], ids=lambda case: case["envelope"]["candidate"])
def test_candidates_of_v038_are_read(case: dict[str, Any]) -> None:
    candidate = parse_candidate(case["envelope"]["candidate"])
    assert candidate is not None
    assert candidate.type == "host"
    assert candidate.port == int(case["envelope"]["candidate"].split()[5])


def test_the_prefix_is_optional() -> None:
    assert parse_candidate(HOST) == parse_candidate(HOST.removeprefix("candidate:")) == parse_candidate("a=" + HOST)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "candidate:",
        "malformed",
        HOST.removesuffix(" host"),
        HOST.replace("typ host", "typ tcphost"),
        HOST.replace("typ host", "typ prflx"),
        HOST.replace(" 1 udp", " 2 udp"),
        HOST.replace("udp", "tcp"),
        HOST.replace("5000", "0"),
        HOST.replace("5000", "65536"),
        HOST.replace("5000", "-1"),
        HOST.replace("5000", "５０"),
        HOST.replace("2130706431", "99999999999"),
        HOST.replace("192.0.2.1", "example.org"),
        HOST.replace("192.0.2.1", "0.0.0.0"),
        HOST.replace("192.0.2.1", "224.0.0.1"),
        HOST.replace("192.0.2.1", "255.255.255.255"),
        HOST.replace("192.0.2.1", "fe80::1%eth0"),
        HOST.replace("192.0.2.1", "0f3a.local"),
        HOST.replace("candidate:1", "candidate:" + "1" * 65),
        HOST + " " + "x" * MAX_CANDIDATE_CHARS,
    ],
)
def test_candidates_of_no_use_are_left_out(text: str) -> None:
    assert parse_candidate(text) is None


@given(st.text())
def test_any_text_is_read_or_left_out(text: str) -> None:
    parse_candidate(text)
    parse_candidate("candidate:" + text)
    parse_candidate(HOST + text)


def test_kinds_of_a_selected_pair() -> None:
    kinds = [kind_of_type(kind) for kind in ("host", "srflx", "prflx", "relay", "?")]
    assert kinds == ["host", "server_reflexive", "peer_reflexive", "relay", "unknown"]
