"""One network may be met on several ways; its record says on which (spec 03 §3)."""

from __future__ import annotations

import logging
import random
from typing import TYPE_CHECKING

import pytest

from myownmesh.mesh import clock
from myownmesh.mesh.rooms import lan, met_by, nostr, rooms
from myownmesh.signaling.client import NostrSignaling
from myownmesh.signaling.gate import ContentGate
from myownmesh.signaling.lan import LanSignaling
from myownmesh.signaling.lan_access import LanAccess
from myownmesh.signaling.sources import RelaySources
from myownmesh.signaling.timepiece import Timepiece
from myownmesh.store.network_config import NetworkConfig, SignalingConfig
from support.probe import identity

if TYPE_CHECKING:
    from myownmesh.mesh.rooms import Way
    from myownmesh.sealing.desk import Desk
    from myownmesh.signaling.driver import Signaling

DEVICE = identity(1)
NOSTR = nostr(DEVICE, "app", random.Random(1), RelaySources(), Timepiece(clock.now, clock.steady))


def record(strategy: str) -> NetworkConfig:
    return NetworkConfig(id="n", network_id="n", signaling=SignalingConfig(strategy=strategy))


def for_every(gates: list[ContentGate]) -> Way:
    """Another way, for every network."""

    def way(_: NetworkConfig, network_id: str, gate: ContentGate, desk: Desk | None) -> Signaling | None:
        gates.append(gate)
        return NOSTR(record("nostr"), network_id, gate, desk)

    return way


def test_a_network_is_met_on_every_way_that_its_record_asks_for() -> None:
    gates: list[ContentGate] = []
    signalings = met_by(NOSTR, for_every(gates), for_every(gates))
    assert len(signalings(record("nostr"), "n", None)) == 3
    assert isinstance(signalings(record(""), "n", None)[0], NostrSignaling)
    assert len(signalings(record("none"), "n", None)) == 2


def test_the_ways_of_one_network_share_their_gate_and_those_of_two_do_not() -> None:
    gates: list[ContentGate] = []
    signalings = met_by(for_every(gates), for_every(gates))
    signalings(record("none"), "n", None)
    signalings(record("none"), "n", None)
    assert gates[0] is gates[1]
    assert gates[2] is gates[3]
    assert gates[0] is not gates[2]


@pytest.mark.parametrize("strategy", ["Nostr", "mqtt", " "])
def test_an_unknown_strategy_attaches_nothing_and_says_so(strategy: str, caplog: pytest.LogCaptureFixture) -> None:
    assert list(met_by(NOSTR)(record(strategy), "n", None)) == []
    assert f"unknown signaling strategy '{strategy}'" in caplog.text


@pytest.mark.parametrize(
    ("signaling", "ways"),
    [
        (SignalingConfig(), [NostrSignaling, LanSignaling]),
        (SignalingConfig(listen_only=True), [NostrSignaling]),
        (SignalingConfig(mdns=False), [NostrSignaling]),
        (SignalingConfig(strategy="none"), [LanSignaling]),
        (SignalingConfig(strategy="mqtt"), [LanSignaling]),
        (SignalingConfig(strategy="none", listen_only=True), []),
        (SignalingConfig(strategy="none", mdns=False), []),
    ],
)
def test_which_ways_a_record_asks_for(
    signaling: SignalingConfig, ways: list[type], caplog: pytest.LogCaptureFixture
) -> None:
    """The attach matrix of spec 03 §3."""
    timepiece = Timepiece(clock.now, clock.steady)
    attached = rooms(DEVICE, "app", random.Random(1), RelaySources(), timepiece, LanAccess())
    wanted = NetworkConfig(id="n", network_id="n", signaling=signaling)
    assert [type(way) for way in attached(wanted, "n", None)] == ways
    assert ("met nowhere" in caplog.text) is (signaling.strategy == "none" and not signaling.mdns)
    elsewhere = rooms(DEVICE, "app", random.Random(1), RelaySources(), timepiece, None)
    assert [type(way) for way in elsewhere(wanted, "n", None)] == [way for way in ways if way is NostrSignaling]
    assert lan(DEVICE, "app", timepiece, LanAccess())(record("none"), "n", ContentGate(), None) is not None


def test_no_strategy_is_a_choice_and_no_complaint(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert list(met_by(NOSTR)(record("none"), "n", None)) == []
    assert caplog.text == ""
