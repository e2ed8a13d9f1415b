"""What of the addresses matters to links, and what a change of it means (spec 04 §7.7)."""

from __future__ import annotations

import pytest

from myownmesh.engine.moves import Move
from myownmesh.netwatch.snapshot import Snapshot, judge, snapshot
from myownmesh.transport.addresses import LocalAddress


def local(interface: str, address: str, *, is_running: bool = True) -> LocalAddress:
    return LocalAddress(interface, address, prefix=24, is_running=is_running)


LO = local("lo", "127.0.0.1")


def test_what_others_could_reach_counts() -> None:
    seen = snapshot(
        [
            LO,
            local("eth0", "192.168.1.5"),
            local("eth0", "fe80::1"),
            local("docker0", "172.17.0.1"),
            local("lo", "::1"),
        ],
        ["192.168.1.5"],
    )
    assert seen == Snapshot("192.168.1.5", None, frozenset({"192.168.1.5"}))
    assert seen.told() == {"v4": "192.168.1.5", "v6": None, "addresses": 1}


def test_of_ipv6_the_network_counts_and_not_the_privacy_address_of_the_day() -> None:
    today = snapshot([local("eth0", "2001:db8:1:2::aaaa")], ["2001:db8:1:2::aaaa"])
    tomorrow = snapshot([local("eth0", "2001:db8:1:2::bbbb")], ["2001:db8:1:2::bbbb"])
    assert today == tomorrow == Snapshot(None, "2001:db8:1:2::/64", frozenset({"2001:db8:1:2::/64"}))


def test_an_interface_without_a_carrier_has_no_addresses_and_is_no_way_out() -> None:
    pulled = snapshot([LO, local("eth0", "192.168.1.5", is_running=False)], ["192.168.1.5"])
    assert pulled.is_offline
    wifi = snapshot([local("eth0", "192.168.1.5", is_running=False), local("wlan0", "10.0.0.9")], ["192.168.1.5"])
    assert wifi == Snapshot(None, None, frozenset({"10.0.0.9"}))


@pytest.mark.parametrize("alone", [local("br-lan", "192.168.1.5"), local("eth0", "169.254.7.1")])
def test_what_is_left_out_otherwise_counts_where_it_is_all_there_is(alone: LocalAddress) -> None:
    assert snapshot([LO, alone], []).addresses == {alone.address}


def test_a_machine_with_loopback_alone_is_offline() -> None:
    assert snapshot([LO], []).is_offline
    assert not Snapshot(None, "2001:db8::/64", frozenset()).is_offline


NOTHING = Snapshot(None, None, frozenset())
HOME = Snapshot("192.168.1.5", None, frozenset({"192.168.1.5"}))
LAN = Snapshot(None, None, frozenset({"192.168.1.5"}))


@pytest.mark.parametrize(
    ("before", "after", "move"),
    [
        (HOME, HOME, None),
        (HOME, NOTHING, Move.OFFLINE),
        (NOTHING, NOTHING, None),
        (NOTHING, HOME, Move.ONLINE),
        (NOTHING, LAN, Move.ONLINE),
        (HOME, Snapshot("10.0.0.9", None, frozenset({"10.0.0.9"})), Move.MOVED),
        (HOME, Snapshot("192.168.1.5", "2001:db8::/64", HOME.addresses), Move.MOVED),
        (HOME, LAN, Move.MOVED),
        (HOME, Snapshot("192.168.1.5", None, frozenset({"192.168.1.5", "10.0.0.9"})), Move.SHIFTED),
        (Snapshot("192.168.1.5", None, frozenset({"192.168.1.5", "10.0.0.9"})), HOME, Move.SHIFTED),
        (LAN, Snapshot(None, None, frozenset({"192.168.1.9"})), Move.MOVED),
        (LAN, Snapshot(None, None, frozenset({"192.168.1.5", "10.0.0.9"})), Move.MOVED),
    ],
)
def test_what_a_change_means(before: Snapshot, after: Snapshot, move: Move | None) -> None:
    assert judge(before, after) is move
