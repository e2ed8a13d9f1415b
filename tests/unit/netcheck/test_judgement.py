"""What a look at the surroundings means: from measurements to one sentence, without a network."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

import pytest

from mesh_common.netcheck import EXIT_CODES, Clock, Ipv6, Multicast, Nat, ServerRow, Surroundings, Udp
from myownmesh.netcheck.check import nat_of
from myownmesh.netcheck.judgement import judged

if TYPE_CHECKING:
    from mesh_common.netcheck import Netcheck

NETWORK = "home"
HEARD = Multicast(state="heard", answers=2)
NO_MULTICAST = Multicast(state="impossible", reason="no")


def relay(url: str = "wss://relay.example", *, ok: bool = True, networks: tuple[str, ...] = (NETWORK,)) -> ServerRow:
    return ServerRow(kind="relay", url=url, over="tls", networks=networks, ok=ok)


def stun(*, ok: bool = True) -> ServerRow:
    return ServerRow(kind="stun", url="stun:stun.example", over="udp", networks=(NETWORK,), ok=ok)


def turn(over: Any = "udp", *, ok: bool = True) -> ServerRow:
    url = {"udp": "turn:t.example", "tcp": "turn:t.example?transport=tcp", "tls": "turns:t.example"}[over]
    return ServerRow(kind="turn", url=url, over=over, networks=(NETWORK,), ok=ok)


def judge(*servers: ServerRow, udp: Any = "open", nat: Any = "independent", **members: Any) -> Netcheck:
    usual: dict[str, Any] = {
        "addresses": ("192.168.1.5",),
        "networks": (NETWORK,),
        "lan_networks": (NETWORK,),
        "multicast": HEARD,
        "clock": Clock(ahead_ms=-400, by="relays"),
    }
    return judged(Surroundings(**{**usual, **members}, udp=Udp(state=udp), nat=Nat(state=nat), servers=servers))


CASES = [
    (
        judge(relay(), stun(), turn(), turn("tls")),
        "direct",
        "works",
        "Devices find each other and most links are direct, the others go over TURN; nothing has to be changed.",
    ),
    (
        judge(relay(), stun(), turn(ok=False)),
        "direct_no_turn",
        "limited",
        "Devices find each other and most links are direct, and those past a strict router or firewall fail without "
        "TURN; have a TURN server that answers.",
    ),
    (
        judge(relay(), stun()),
        "direct_no_turn",
        "limited",
        "Devices find each other and most links are direct, and those past a strict router or firewall fail without "
        "TURN; name a TURN server.",
    ),
    (
        judge(relay(), stun(), turn(), nat="dependent"),
        "symmetric_nat",
        "works",
        "Devices find each other and connect, with hard routers at both ends over TURN: this network's router uses "
        "another port for each destination (symmetric NAT); nothing has to be changed.",
    ),
    (
        judge(relay(), stun(), turn(ok=False), nat="dependent"),
        "symmetric_nat_no_turn",
        "limited",
        "Devices find each other, and links to devices behind hard routers fail: this network's router uses another "
        "port for each destination (symmetric NAT), and no TURN server answers; have a TURN server that answers.",
    ),
    (
        judge(relay(), stun(ok=False), turn(ok=False), turn("tcp"), turn("tls"), udp="blocked"),
        "udp_blocked",
        "works",
        "Devices find each other and connect over TURN by TCP and TLS, which is slower, because UDP is blocked here; "
        "let UDP out for direct links.",
    ),
    (
        judge(relay(), stun(ok=False), turn(ok=False), udp="blocked"),
        "udp_blocked_no_turn",
        "limited",
        "Devices find each other and only those in the local network connect, because UDP is blocked here and no TURN "
        "server answers over TCP or TLS; let UDP out, or name a TURN server with turns:.",
    ),
    (
        judge(relay(), udp="unknown", nat="unknown"),
        "no_servers",
        "limited",
        "Devices find each other and those in the local network connect, others only where no router is between, for "
        "no STUN or TURN server is named; name a STUN and a TURN server.",
    ),
    (
        judge(relay(), turn("tcp"), udp="unknown", nat="unknown"),
        "turn_alone",
        "works",
        "Devices find each other and connect at least over TURN by TCP; name a STUN server for more direct links.",
    ),
    (
        judge(
            relay("ws://[2001:db8::1]:4848"),
            ServerRow(kind="turn", url="turn:[2001:db8::1]:3478", over="udp", networks=(NETWORK,), ok=True),
            stun(ok=False),
            nat="unknown",
        ),
        "turn_alone",
        "works",
        "Devices find each other and connect at least over TURN by UDP, for nothing but 2001:db8::1 answers here; name "
        "a STUN server at another address to learn whether they connect directly as well, and mend or remove "
        "stun:stun.example, which does not answer.",
    ),
    (
        judge(relay("ws://t.example:4848"), turn(), turn("tcp"), nat="none"),
        "direct",
        "works",
        "Devices find each other and most links are direct, the others go over TURN; nothing has to be changed.",
    ),
    (
        judge(relay("ws://t.example:4848"), turn(), turn("tcp"), nat="none", multicast=NO_MULTICAST),
        "turn_alone",
        "works",
        "Devices find each other and connect at least over TURN by UDP and TCP, for nothing but t.example answers "
        "here; name a STUN server at another address to learn whether they connect directly as well.",
    ),
    (
        judge(relay(ok=False), stun()),
        "no_relay",
        "limited",
        "Only devices in the local network find each other, because no relay answers; have wss://relay.example mended, "
        "or name another relay.",
    ),
    (
        judge(relay(ok=False), stun(), multicast=NO_MULTICAST),
        "no_relay",
        "nothing",
        "No device is found: no relay answers, and multicast does not pass here; have wss://relay.example mended, or "
        "name another relay.",
    ),
    (
        judge(relay(ok=False), stun(ok=False), udp="unknown"),
        "lan_only",
        "limited",
        "Devices in the local network find each other and connect directly, and nothing beyond it answers; connect "
        "this network to the internet, or name servers that it reaches.",
    ),
    (
        judge(relay(ok=False), lan_networks=()),
        "no_way",
        "nothing",
        "Nothing works: no server answers, and multicast does not pass here; connect this network to the internet, or "
        "name servers that it reaches.",
    ),
    (
        judge(),
        "lan",
        "works",
        "Devices in the local network find each other and connect directly; nothing has to be changed.",
    ),
    (
        judge(multicast=NO_MULTICAST),
        "no_way",
        "nothing",
        "Nothing works: the networks of this device are met in the local network alone, where multicast does not pass; "
        "name a relay, or let UDP port 5353 through.",
    ),
    (
        judge(relay(), addresses=()),
        "no_network",
        "nothing",
        "Nothing works: this device has no network; connect a cable or a Wi-Fi.",
    ),
    (
        judge(relay(), relay("wss://dead.example", ok=False), stun(), turn(), clock=Clock(ahead_ms=7_500_000, by="x")),
        "direct",
        "works",
        "Devices find each other and most links are direct, the others go over TURN; mend or remove "
        "wss://dead.example, which does not answer, and set this device's clock, which is 2 hours ahead.",
    ),
    (
        judge(relay(), relay("wss://b", ok=False, networks=("b",)), stun(), turn(), networks=(NETWORK, "b")),
        "direct",
        "works",
        "Devices find each other and most links are direct, the others go over TURN; name another relay for b, of "
        "which none answers.",
    ),
]


@pytest.mark.parametrize(("found", "code", "verdict", "sentence"), CASES, ids=[case[1] for case in CASES])
def test_measurements_mean_one_sentence(found: Netcheck, code: str, verdict: str, sentence: str) -> None:
    assert (found.code, found.verdict, found.sentence) == (code, verdict, sentence)


def test_every_combination_of_findings_has_a_sentence() -> None:
    states = [(), (True,), (False,), (True, False)]
    for relays, streams, udp, nat, multicast, clock in product(
        states,
        states,
        ("open", "blocked", "unknown"),
        ("none", "independent", "dependent", "unknown"),
        (HEARD, Multicast(state="possible"), NO_MULTICAST, Multicast(state="off")),
        (None, Clock(ahead_ms=-61_000, by="relays")),
    ):
        servers = [relay(f"wss://{n}", ok=ok) for n, ok in enumerate(relays)] + [turn("tls", ok=ok) for ok in streams]
        found = judge(*servers, stun(ok=udp == "open"), udp=udp, nat=nat, multicast=multicast, clock=clock)
        assert found.sentence.count(". ") == 0
        assert found.sentence.endswith(".")
        assert found.verdict in EXIT_CODES
        assert ("1 minute behind" in found.sentence) == (clock is not None)


def test_measurements_are_told_as_they_were() -> None:
    found = judge(relay(), stun(), ipv6=Ipv6(state="works", address="2001:db8::1"), took_ms=812)
    assert (found.ipv6.state, found.took_ms, found.multicast) == ("works", 812, HEARD)
    assert [row.url for row in found.servers] == ["wss://relay.example", "stun:stun.example"]


def test_many_dead_servers_do_not_make_a_long_sentence() -> None:
    dead = [relay(f"wss://dead{n}.example", ok=False) for n in range(9)]
    found = judge(relay(), *dead, stun(), turn())
    assert "wss://dead2.example and 6 more, which do not answer." in found.sentence
    assert "dead3" not in found.sentence


ONE, TWO, INNER = ("203.0.113.1", 3478), ("203.0.113.2", 3478), ("192.168.1.9", 3478)
OURS = ["192.168.1.5"]


@pytest.mark.parametrize(
    ("seen", "nat"),
    [
        ({}, "unknown"),
        ({ONE: ("198.51.100.7", 4000)}, "unknown"),
        ({ONE: ("198.51.100.7", 4000), (ONE[0], 3479): ("198.51.100.7", 4000)}, "unknown"),
        ({ONE: ("198.51.100.7", 4000), TWO: ("198.51.100.7", 4000)}, "independent"),
        ({ONE: ("198.51.100.7", 4000), TWO: ("198.51.100.7", 4001)}, "dependent"),
        ({ONE: ("198.51.100.7", 4000), (ONE[0], 3479): ("198.51.100.7", 4001)}, "dependent"),
        ({ONE: ("192.168.1.5", 4000)}, "none"),
        ({ONE: ("192.168.1.5", 4000), TWO: ("192.168.1.5", 4000)}, "none"),
        ({INNER: ("192.168.1.5", 4000), ONE: ("198.51.100.7", 4000)}, "unknown"),
        ({INNER: ("192.168.1.5", 4000), ONE: ("198.51.100.7", 4000), TWO: ("198.51.100.7", 4000)}, "independent"),
    ],
)
def test_how_one_socket_looks_to_several_servers_tells_the_translation(seen: Any, nat: str) -> None:
    assert nat_of(seen, OURS) == nat
