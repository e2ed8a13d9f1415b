"""Which addresses are dialled, whatever an advert names."""

from __future__ import annotations

from ipaddress import IPv4Network

import pytest

from myownmesh.lan.endpoints import BACKOFF_S, MAX_ADDRESSES, MAX_PENALTIES, Endpoint, Penalties, near

HERE = (IPv4Network("192.168.7.0/24"), IPv4Network("10.0.0.4/31"))


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "0.0.0.0", "224.0.0.251", "8.8.8.8", "192.168.8.1", "169.254.1.1", "192.168.7.0", "192.168.7.255"],
)
def test_nobody_elsewhere_is_dialled(address: str) -> None:
    assert near([address], HERE) == ()


def test_whoever_is_beside_us_is() -> None:
    assert near(["192.168.7.9", "8.8.8.8", "10.0.0.4", "10.0.0.5"], HERE) == ("192.168.7.9", "10.0.0.4", "10.0.0.5")
    assert near(["127.0.0.1"], (IPv4Network("127.0.0.0/8"),)) == ()


def test_of_many_addresses_the_newest_are_kept() -> None:
    many = tuple(f"10.0.0.{number}" for number in range(1, 200))
    merged = Endpoint(("10.1.0.1",), 1).merged(Endpoint(many, 1))
    assert len(merged.addresses) == MAX_ADDRESSES
    assert "10.1.0.1" not in merged.addresses


def test_an_address_rests_longer_after_each_failure_and_is_free_once_reached() -> None:
    penalties, now = Penalties(), 0.0
    for seconds in (*BACKOFF_S, BACKOFF_S[-1]):
        penalties.failed("10.0.0.1", 1, now)
        assert penalties.to_dial(["10.0.0.1", "10.0.0.2"], 1, now) == ["10.0.0.2"]
        assert penalties.to_dial(["10.0.0.1"], 1, now + seconds - 0.1) == ["10.0.0.1"], "one probe, all resting"
        now += seconds
        assert penalties.to_dial(["10.0.0.1", "10.0.0.2"], 1, now) == ["10.0.0.2", "10.0.0.1"]
    penalties.reached("10.0.0.1", 1)
    assert len(penalties) == 0


def test_nobody_to_dial() -> None:
    assert Penalties().to_dial([], 1, 0.0) == []


def test_penalties_go_with_the_listener_and_with_the_network() -> None:
    penalties = Penalties()
    for address in ("10.0.0.1", "10.0.0.2"):
        penalties.failed(address, 1, 0.0)
    penalties.forget(Endpoint(("10.0.0.1",), 1))
    assert len(penalties) == 1
    penalties.forget_all()
    assert len(penalties) == 0


def test_penalties_are_bounded() -> None:
    penalties = Penalties()
    for port in range(MAX_PENALTIES + 10):
        penalties.failed("10.0.0.1", port, 0.0)
    assert len(penalties) == MAX_PENALTIES
