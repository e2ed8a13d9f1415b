"""Whom we prefer and who gets broadcasts (vectors: topology.json `reevaluate`, `broadcast_targets`)."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

from myownmesh.engine.actions import SendFrame
from myownmesh.engine.config import EngineConfig
from myownmesh.engine.core import Core
from myownmesh.engine.events import PeerShelved, PeerUnshelved
from myownmesh.engine.peer import Live, Peer, Shelved
from myownmesh.engine.shelving import broadcast_targets, reevaluate
from myownmesh.protocol.clock import Instant
from myownmesh.protocol.frames import Shelve, Unshelve
from myownmesh.protocol.views import PeerStatus
from myownmesh.roster import Roster
from support.vectors import load
from unit.engine.bench import LOW, Bench
from unit.engine.stages import active, connecting, handshaking, pending, shelved

if TYPE_CHECKING:
    from collections.abc import Callable

    from myownmesh.engine.peer import Peer

NOW = Instant(0.0, 0)

REEVALUATIONS: list[dict[str, Any]] = load("topology", "reevaluate")
TARGETS: list[dict[str, Any]] = load("topology", "broadcast_targets")
PREFERRED: dict[str, set[str] | None] = {
    # What the shape of each case prefers; computing it is the shape's business, not the engine's.
    "star spoke shelves spokes": {"hub"},
    "star spoke without hub": set(),
    "pin is never shelved": set(),
    "pin heals a shelved peer": set(),
    "switch to full mesh unshelves": None,
    "unfinished peers are ignored": {"b", "d"},
    "no change no frame": {"hub"},
    "nobody live": set(),
}


MAKE: dict[PeerStatus, Callable[[str, int], Peer]] = {
    PeerStatus.SIGHTED: connecting,
    PeerStatus.HANDSHAKING: handshaking,
    PeerStatus.PENDING_APPROVAL: pending,
    PeerStatus.ACTIVE: active,
    PeerStatus.SHELVED: shelved,
}


def core_with(entries: list[dict[str, Any]]) -> Core:
    core = Core(LOW, "home", EngineConfig(), Roster("home"), random.Random(1))
    for number, entry in enumerate(entries):
        peer = MAKE[PeerStatus(entry["status"])](entry["id"], number)
        assert entry["local_shelved"] is isinstance(peer, Shelved)
        if isinstance(peer, Live):
            peer.upkeep.remote_shelved = entry.get("remote_shelved", False)
        core.peers[peer.device_id] = peer
        if entry.get("sticky"):
            core.pins.add(peer.device_id)
    return core


@pytest.mark.parametrize("case", REEVALUATIONS, ids=lambda case: case["name"])
def test_reevaluation(case: dict[str, Any]) -> None:
    core = core_with(case["before"])
    reevaluate(core, NOW, PREFERRED[case["name"]])
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


def test_broadcasts_in_a_full_mesh() -> None:
    [case] = [case for case in TARGETS if case["mode"]["kind"] == "full_mesh"]
    core = core_with(case["entries"])
    assert [peer for peer, _ in broadcast_targets(core)] == case["targets"]


def test_being_shelved_is_told_once_and_stops_broadcasts_only() -> None:
    bench = Bench("lower").up_to("active")
    bench.frame(Shelve(reason="topology-rebalance"))
    bench.frame(Shelve(reason="again"))
    [event] = bench.named(PeerShelved)
    assert (event.reason, event.by_us) == ("topology-rebalance", False)
    assert bench.status == "active"
    assert bench.engine.broadcast_targets() == []
    bench.frame(Unshelve())
    bench.frame(Unshelve())
    assert len(bench.named(PeerUnshelved)) == 1
    assert bench.engine.broadcast_targets() == [(bench.peer_id, bench.epoch)]
