"""Where nothing is relayed to, however it is spelled (spec 06 D)."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from myownmesh.turn.targets import Targets, Verdict

PUBLIC = "203.0.113.7"

INNER = ("0.0.0.0", "127.0.0.1", "127.8.9.1", "169.254.169.254", "192.0.0.192", "100.100.100.200", "168.63.129.16",
         "224.0.0.251", "239.255.255.250", "240.0.0.1", "255.255.255.255")  # fmt: skip
PRIVATE = ("10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1")
OUTER = ("1.1.1.1", "172.32.0.1", "100.128.0.1", "11.0.0.1", "198.51.100.9")


def spellings(ip: str) -> list[str]:
    value = int(ipaddress.IPv4Address(ip))
    high, low = value >> 16, value & 0xFFFF
    inverted = value ^ 0xFFFFFFFF
    return [
        f"::ffff:{ip}",
        f"::{ip}",
        f"64:ff9b::{ip}",
        f"64:ff9b:1::{ip}",
        f"2002:{high:x}:{low:x}::1",
        f"2001::{inverted >> 16:x}:{inverted & 0xFFFF:x}",
    ]


def targets(*, private_allowed: bool = False, public: str = PUBLIC) -> Targets:
    made = Targets(public, private_allowed=private_allowed)
    made.set_own(["198.51.100.1", "2001:db8::1", public])
    return made


@pytest.mark.parametrize("ip", [*INNER, *PRIVATE, "198.51.100.1", PUBLIC])
def test_no_spelling_of_an_inner_address_is_allowed(ip: str) -> None:
    verdict = targets().verdict
    assert verdict(ip) is (Verdict.OURS if ip == PUBLIC else Verdict.FORBIDDEN)
    for spelling in spellings(ip):
        assert verdict(spelling) is Verdict.FORBIDDEN, spelling


@pytest.mark.parametrize(
    "ip", ["::", "::1", "fe80::1", "fec0::1", "ff02::fb", "fc00::1", "fd00:ec2::254", "2001:db8::1"]
)
def test_no_inner_ipv6_address_is_allowed(ip: str) -> None:
    assert targets().verdict(ip) is Verdict.FORBIDDEN


@pytest.mark.parametrize("ip", OUTER)
def test_outer_addresses_are_allowed_and_their_ipv6_spellings_are_of_a_family_that_is_not_relayed(ip: str) -> None:
    assert targets().verdict(ip) is Verdict.ALLOWED
    assert {targets().verdict(each) for each in spellings(ip)} == {Verdict.OTHER_FAMILY}


def test_the_switch_opens_private_ranges_and_no_others() -> None:
    verdict = targets(private_allowed=True).verdict
    assert {verdict(ip) for ip in PRIVATE} == {Verdict.ALLOWED}
    assert {verdict(ip) for ip in INNER} == {Verdict.FORBIDDEN}


def test_the_relayed_address_is_ours_whatever_its_range() -> None:
    assert targets(public="192.168.1.5").verdict("192.168.1.5") is Verdict.OURS
    assert targets(public="127.0.0.1").verdict("127.0.0.1") is Verdict.OURS


@pytest.mark.heavy
@given(st.ip_addresses())
def test_any_address_has_a_verdict(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    verdict = targets().verdict(str(address))
    if verdict is Verdict.ALLOWED:
        assert address.version == 4
        assert not (address.is_loopback)
        assert not (address.is_link_local)
        assert not (address.is_multicast)
        assert not (address.is_unspecified)
