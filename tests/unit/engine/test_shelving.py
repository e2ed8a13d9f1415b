"""Whom we prefer and who gets broadcasts (vectors: topology.json `reevaluate`, `broadcast_targets`)."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest
from msgspec import Raw

from mesh_common.events import PeerShelved, PeerUnshelved
from mesh_common.views import PeerStatus
from myownmesh.engine.actions import SendFrame
from myownmesh.engine.config import EngineConfig
from myownmesh.engine.core import Core
from myownmesh.engine.peer import Live, Peer, Shelved
from myownmesh.engine.shelving import broadcast_targets, reevaluate
from myownmesh.protocol.clock import Instant
from myownmesh.protocol.frames import Channel, Shelve, Unshelve
from myownmesh.protocol.modes import Star, read_mode
from myownmesh.protocol.strict_json import dumps
from myownmesh.roster import Roster
from support.vectors import load
from unit.engine.bench import LOW, Bench
from unit.engine.stages import active, connecting, handshaking, pending, shelved

if TYPE_CHECKING:
    from collections.abc import Callable

    from myownmesh.engine.peer import Peer

NOW = Instant(0.0, 0)
FRAME = Channel("c", Raw(b"1"))

REEVALUATIONS: list[dict[str, Any]] = load("topology", "reevaluate")
TARGETS: list[dict[str, Any]] = load("topology", "broadcast_targets")
MAKE: dict[PeerStatus, Callable[[str, int], Peer]] = {
    PeerStatus.SIGHTED: connecting,
    PeerStatus.HANDSHAKING: handshaking,
    PeerStatus.PENDING_APPROVAL: pending,
    PeerStatus.ACTIVE: active,
    PeerStatus.SHELVED: shelved,
}


def test_who_has_no_edge_with_us_is_noted_and_not_dialled() -> None:
    bench = Bench("lower", EngineConfig(topology=Star("hub")))
    assert bench.announce() == ["announce"]
    assert bench.status == "sighted"
    told = [diag.detail or {} for diag in bench.diags if diag.message.startswith("sighted")]
    assert [(each["peer"], each["reason"], each["why"]["code"]) for each in told] == [
        (bench.peer_id, "no edge in this shape", "kept_apart_by_shape")
    ]
    assert bench.wait(300.0) == []
    assert "answer A1 to B1" in bench.offer("B1"), "an offer is answered whatever the shape says"


def core_with(entries: list[dict[str, Any]]) -> Core:
    core = Core(LOW, "home", EngineConfig(), Roster("home"), random.Random(1))
    for number, entry in enumerate(entries):
        peer = MAKE[PeerStatus(entry["status"])](entry["id"], number)
        assert entry["local_shelved"] is isinstance(peer, Shelved)
        if isinstance(peer, Live):
            peer.upkeep.remote_shelved = entry.get("remote_shelved", False)
        core.install(peer, NOW)
        if entry.get("sticky"):
            core.pins.add(peer.device_id)
    return core


@pytest.mark.parametrize("case", REEVALUATIONS, ids=lambda case: case["name"])
def test_reevaluation(case: dict[str, Any]) -> None:
    core = core_with(case["before"])
    core.me = case["self"]
    core.set_topology(read_mode(dumps(case["mode"])))
    reevaluate(core, NOW)
    after = [
        {
            "id": peer.device_id,
            "status": peer.status,
            "local_shelved": isinstance(peer, Shelved),
            "sticky": peer.device_id in core.pins,
        }
        for peer in core.peers.values()
    ]
    assert after == case["after"]
    frames = [{"to": each.peer, "frame": each.kind} for each in core.out if isinstance(each, SendFrame)]
    assert frames == case["frames"]


@pytest.mark.parametrize("case", TARGETS, ids=lambda case: case["name"])
def test_who_gets_broadcasts(case: dict[str, Any]) -> None:
    """An admitted link of ours has an open channel, so the vectors' entries without one cannot be."""
    core = core_with([entry for entry in case["entries"] if entry["data_channel_open"]])
    assert [peer for peer, _ in broadcast_targets(core)] == [each for each in case["targets"] if each in core.peers]


def test_being_shelved_is_told_once_and_stops_broadcasts_only() -> None:
    bench = Bench("lower").up_to("active")
    bench.frame(Shelve(reason="topology-rebalance"))
    bench.frame(Shelve(reason="again"))
    [event] = bench.named(PeerShelved)
    assert (event.reason, event.by_us) == ("topology-rebalance", False)
    assert bench.status == "active"
    assert bench.engine.broadcast(FRAME).hops == ()
    bench.frame(Unshelve())
    bench.frame(Unshelve())
    assert len(bench.named(PeerUnshelved)) == 1
    assert bench.engine.broadcast(FRAME).hops == ((bench.peer_id, bench.epoch),)
