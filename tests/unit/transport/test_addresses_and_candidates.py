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
    HostAddresses,
    InterfaceKind,
    LocalAddress,
    address_gathered,
    choose,
    interface_excluded,
)
from myownmesh.transport.candidates import MAX_CANDIDATE_CHARS, is_lan, kind_of_end, kind_of_type, parse_candidate
from myownmesh.transport.interfaces import kind_of, local_addresses, source_address
from myownmesh.transport.worth import Reach, Reaches
from support.vectors import load

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


CARD, OTHER, BRIDGE = InterfaceKind

LOOPBACK = (LocalAddress("lo", "127.0.0.1", 8), LocalAddress("lo", "::1", 128))
LAN = LocalAddress("eth0", "192.0.2.2", 24, kind=CARD)
LAN6 = LocalAddress("eth0", "2001:db8::2", 64, kind=CARD)
LAN6_PRIVACY = LocalAddress("eth0", "2001:db8::abcd", 64, kind=CARD)
LAN_LOCAL = LocalAddress("eth0", "169.254.3.4", 16, kind=CARD)
LAN_LOCAL6 = LocalAddress("eth0", "fe80::1", 64, scope_id=4, kind=CARD)
IDLE_LOCAL6 = LocalAddress("eth2", "fe80::7", 64, scope_id=5, kind=CARD, is_running=False)
WIFI = LocalAddress("wlan0", "198.51.100.2", 24, kind=CARD)
UNPLUGGED = LocalAddress("eth1", "198.51.100.3", 24, kind=CARD, is_running=False)
TUNNEL = LocalAddress("wg0", "10.8.0.2", 24)
DOCKER = LocalAddress("docker0", "172.17.0.1", 16, kind=BRIDGE)
LAN_BRIDGE = LocalAddress("br-lan", "192.168.1.1", 24, kind=CARD)
BRIDGES = tuple(LocalAddress(f"lxc{n}", f"10.{n}.0.1", 24, kind=BRIDGE) for n in range(20))


@pytest.mark.parametrize(
    ("found", "default_routes", "relay_sources", "offered"),
    [
        pytest.param((*LOOPBACK, LAN, LAN6, TUNNEL), (), (), (LAN, LAN6, TUNNEL), id="in the order of the interfaces"),
        pytest.param((TUNNEL, DOCKER, LAN, LAN_LOCAL, LAN_LOCAL6), (), (), (LAN, TUNNEL), id="cards before tunnels"),
        pytest.param((LAN6, LAN6_PRIVACY, WIFI), (), (), (LAN6, WIFI, LAN6_PRIVACY), id="one of each card first"),
        pytest.param((UNPLUGGED, TUNNEL), (), (), (TUNNEL, UNPLUGGED), id="without a carrier last"),
        pytest.param((TUNNEL, LAN, WIFI), (WIFI.address,), (), (WIFI, LAN, TUNNEL), id="the default route first"),
        pytest.param((LAN, TUNNEL), (), (TUNNEL.address,), (TUNNEL, LAN), id="the way to the relay before others"),
        pytest.param((TUNNEL, LAN), (LAN.address,), (TUNNEL.address,), (LAN, TUNNEL), id="but after the default route"),
        pytest.param((*LOOPBACK, LAN), (), ("127.0.0.1",), (LAN,), id="a relay of our own says nothing"),
        pytest.param((*BRIDGES, LAN), (LAN.address,), (), (LAN, *BRIDGES[:15]), id="twenty bridges, default route"),
        pytest.param((*BRIDGES, LAN), (), (LAN.address,), (LAN, *BRIDGES[:15]), id="twenty bridges, way to the relay"),
        pytest.param((*BRIDGES, TUNNEL), (), (), (TUNNEL, *BRIDGES[:15]), id="twenty bridges, no route at all"),
        # What the rules leave out comes back as the last resort …
        pytest.param((UNPLUGGED, DOCKER), (), (), (DOCKER, UNPLUGGED), id="beside a card without a cable"),
        pytest.param((*LOOPBACK, LAN_BRIDGE), (), (), (LAN_BRIDGE,), id="a card named like a bridge alone"),
        pytest.param((*LOOPBACK, LAN_LOCAL), (), (), (LAN_LOCAL,), id="link-local IPv4 alone"),
        pytest.param((*LOOPBACK, LAN_LOCAL6), (), (), (LAN_LOCAL6,), id="link-local IPv6 alone"),
        pytest.param((DOCKER, LAN_LOCAL6, LAN_LOCAL), (), (), (LAN_LOCAL6, LAN_LOCAL, DOCKER), id="cards first"),
        # … and wherever a route goes that way.
        pytest.param((TUNNEL, LAN_BRIDGE), (LAN_BRIDGE.address,), (), (LAN_BRIDGE, TUNNEL), id="br-lan, default route"),
        pytest.param((TUNNEL, LAN_BRIDGE), (), (LAN_BRIDGE.address,), (LAN_BRIDGE, TUNNEL), id="br-lan, relay"),
        pytest.param((LAN, DOCKER), (LAN.address,), (DOCKER.address,), (LAN, DOCKER), id="a relay in a container"),
        pytest.param((TUNNEL, LAN_LOCAL), (), (LAN_LOCAL.address,), (LAN_LOCAL, TUNNEL), id="the relay on the cable"),
        # … and where a card shows that it is the network.
        pytest.param((TUNNEL, LAN_BRIDGE), (TUNNEL.address,), (), (TUNNEL, LAN_BRIDGE), id="br-lan beside a VPN"),
        pytest.param((TUNNEL, LAN_LOCAL), (TUNNEL.address,), (), (TUNNEL, LAN_LOCAL), id="a cable beside a VPN"),
        pytest.param((WIFI, LAN_LOCAL6, LAN_LOCAL), (), (), (WIFI, LAN_LOCAL6, LAN_LOCAL), id="beside wireless"),
        pytest.param((WIFI, IDLE_LOCAL6), (), (), (WIFI,), id="a card without a cable"),
        pytest.param(LOOPBACK, (), (), (), id="loopback is never offered"),
        pytest.param((), (), (), (), id="nothing at all"),
    ],
)  # fmt: skip
def test_what_is_offered_and_in_which_order(
    found: tuple[LocalAddress, ...],
    default_routes: tuple[str, ...],
    relay_sources: tuple[str, ...],
    offered: tuple[LocalAddress, ...],
) -> None:
    chosen = choose(found, default_routes=default_routes, relay_sources=relay_sources)
    assert chosen.offered == offered
    told = {left.address for left in chosen.left_out}
    assert told == {local for local in found if local not in offered and local not in LOOPBACK}


def test_what_is_left_out_says_why() -> None:
    chosen = choose((LAN, DOCKER, LAN_LOCAL, *BRIDGES[:16]), default_routes=(LAN.address,))
    assert [str(left) for left in chosen.left_out] == [
        "172.17.0.1 of docker0: its interface has the name of a bridge of containers or virtual machines",
        "169.254.3.4 of eth0: link-local, and there are others",
        "10.15.0.1 of lxc15: there are more than 16, and others are worth more",
    ]


def test_loopback_is_at_hand_for_a_machine_without_network() -> None:
    assert choose(LOOPBACK) == HostAddresses((), (), LOOPBACK[:1])
    assert choose((LOOPBACK[1], LAN)).loopback == LOOPBACK[1:]


@given(st.lists(st.sampled_from((LAN, LAN6, DOCKER, LAN_LOCAL, LAN_LOCAL6, LAN_BRIDGE, TUNNEL, WIFI, *BRIDGES))))
def test_every_address_is_offered_or_told(found: list[LocalAddress]) -> None:
    chosen = choose(found)
    assert {*chosen.offered, *(left.address for left in chosen.left_out)} == set(found)
    assert len(chosen.offered) <= MAX_HOST_ADDRESSES
    assert bool(chosen.offered) is bool(found)


@pytest.mark.parametrize(
    ("local", "other", "beside"),
    [
        (LAN, "192.0.2.77", True),
        (LAN, "192.0.3.77", False),
        (LAN, "2001:db8::3", False),
        (LAN6, "2001:db8::3", True),
        (LAN_LOCAL6, "fe80::2", True),
        (LocalAddress("eth0", "192.0.2.2"), "192.0.2.77", False),
    ],
)
def test_addresses_of_one_network(local: LocalAddress, other: str, beside: bool) -> None:
    assert local.is_beside(other) is beside


def entry(networks: Path, name: str, *, device: bool = False, bridge: bool = False, state: str = "up") -> Path:
    """An interface as Linux describes it."""
    folder = networks / name
    folder.mkdir()
    (folder / "operstate").write_text(state + "\n")
    for part in (("device",) if device else ()) + (("bridge",) if bridge else ()):
        (folder / part).mkdir()
    return folder


def test_what_is_behind_an_interface(tmp_path: Path) -> None:
    card = entry(tmp_path, "eth0", device=True)
    pair = entry(tmp_path, "veth1")
    entry(tmp_path, "lxcbr0", bridge=True)
    entry(tmp_path, "lxcbr1", bridge=True).joinpath("lower_veth1").symlink_to(pair)
    bond = entry(tmp_path, "bond0")
    bond.joinpath("lower_eth0").symlink_to(card)
    entry(tmp_path, "br-lan", bridge=True).joinpath("lower_bond0").symlink_to(bond)
    names = ("eth0", "veth1", "lxcbr0", "lxcbr1", "bond0", "br-lan", "gone0")
    assert [kind_of(name, tmp_path) for name in names] == [CARD, OTHER, BRIDGE, BRIDGE, CARD, CARD, OTHER]


def test_a_system_that_tells_by_the_name(tmp_path: Path) -> None:
    kinds = [kind_of(name, tmp_path / "none") for name in ("en0", "bridge100", "utun3")]
    assert kinds == [CARD, BRIDGE, OTHER]


def test_addresses_are_read_with_their_interfaces(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    entry(tmp_path, "eth0", device=True)
    entry(tmp_path, "lxcbr0", bridge=True, state="down")
    addresses = {"eth0": [("192.0.2.2", 24), (("fe80::1", 0, 4), 64)], "lxcbr0": [("10.0.3.1", 24)]}
    adapters = [
        SimpleNamespace(nice_name=name, ips=[SimpleNamespace(ip=ip, network_prefix=bits) for ip, bits in ips])
        for name, ips in addresses.items()
    ]
    monkeypatch.setattr(ifaddr, "get_adapters", lambda: adapters)
    found = local_addresses(tmp_path)
    assert [(local.address, local.prefix, local.scope_id, local.kind, local.is_running) for local in found] == [
        ("192.0.2.2", 24, 0, CARD, True),
        ("fe80::1", 64, 4, CARD, True),
        ("10.0.3.1", 24, 0, BRIDGE, False),
    ]


def test_the_routing_table_is_asked() -> None:
    assert source_address("127.0.0.1") == "127.0.0.1"
    assert source_address("255.255.255.255") is None  # nobody may send there without asking


# ── worth of pairs and of remote candidates ───────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("local", "remote", "expected"),
    [
        (LAN.address, "192.0.2.77", Reach.BESIDE),
        (LAN.address, "203.0.113.9", Reach.ROUTED),
        (WIFI.address, "203.0.113.9", Reach.ELSEWHERE),
        (WIFI.address, "192.0.2.77", Reach.ELSEWHERE),
        (LAN.address, "203.0.113.200", Reach.ELSEWHERE),
        ("203.0.113.1", "203.0.113.9", Reach.RELAYED),
    ],
)
def test_how_a_pair_reaches(local: str, remote: str, expected: Reach) -> None:
    routes = {"192.0.2.77": LAN.address, "203.0.113.9": LAN.address}
    reaches = Reaches(routes.get)
    assert reaches.best(remote) is Reach.ELSEWHERE
    reaches.add_base(LAN)
    reaches.add_base(WIFI)
    assert reaches.between(local, remote) is expected


def test_what_is_remembered_of_a_peers_addresses_is_bounded() -> None:
    asked: list[str] = []
    reaches = Reaches(lambda remote: asked.append(remote))
    reaches.add_base(LAN)
    reaches.add_base(WIFI)
    for number in range(3_000):
        for _ in range(2):
            assert reaches.best(f"10.0.{number >> 8}.{number & 255}") is Reach.ELSEWHERE
    assert len(asked) == 3_000
    reaches.best("10.0.11.183")  # the newest is known, the first one is not any more
    assert len(asked) == 3_000
    reaches.best("10.0.0.0")
    assert len(asked) == 3_001


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


@pytest.mark.parametrize("case", load("topology", "lan_address"), ids=lambda case: case["address"])
def test_which_addresses_are_of_the_local_network(case: dict[str, Any]) -> None:
    assert is_lan(case["address"]) is case["lan"]


def test_an_end_on_the_local_network_is_a_host_whatever_ice_calls_it() -> None:
    """Spec 04 §9.4: its address may have come as that of a check, before its candidate did."""
    ends = [("prflx", "192.168.1.5"), ("srflx", "192.0.2.7"), ("relay", "10.0.0.3"), ("host", "192.0.2.7")]
    assert [kind_of_end(*end) for end in ends] == ["host", "server_reflexive", "relay", "host"]
