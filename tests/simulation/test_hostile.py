"""Hostile peers and forged signals: honest devices keep their links, and memory keeps its bounds."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import msgspec
import pytest

from myownmesh.engine import EngineConfig
from myownmesh.engine.limits import MAX_UNPROVEN_LINKS
from myownmesh.identity import Identity
from myownmesh.protocol.codec import encode_frame
from myownmesh.protocol.frames import Channel, Ping, RosterEntries, RosterEntry, RpcRequest
from myownmesh.protocol.signals import (
    Announce,
    AnswerReceived,
    Candidate,
    CandidateReceived,
    OfferReceived,
    PeerAnnounced,
    PeerLeft,
)
from myownmesh.roster import MAX_ENTRIES, Roster
from myownmesh.simulator import World
from myownmesh.simulator.node import NETWORK

if TYPE_CHECKING:
    from myownmesh.simulator import Node

ASKING = EngineConfig()
RAW = msgspec.Raw(b"1")
FORGED_SDP = "v=0\r\no=- 9 9 IN IP4 0.0.0.0\r\ns=999\na=fingerprint:sha-256 " + ":".join(["66"] * 32) + "\r\n"


def trio(seed: int = 1) -> tuple[World, Node, Node, Node]:
    """Two friends, and a third device that one of them is linked to."""
    world = World(seed)
    one, two, hostile = (world.node(identity) for identity in world.identities(3))
    world.run_until(world.all_linked, within=2.0)
    return world, one, two, hostile


@pytest.mark.parametrize("seed", range(5))
def test_garbage_from_a_member_harms_nobody_else(seed: int) -> None:
    world, one, two, hostile = trio(seed)
    rng = random.Random(seed)
    for _ in range(100):
        data = rng.choice([rng.randbytes(rng.randrange(1, 300)), b"{}", b'{"kind":"rpc_request"}', b"[" * 5000])
        hostile.send_raw(one, data)
    world.run(1.0)
    assert one.is_linked(two)
    assert one.is_linked(hostile), "a hundred bad frames are an accident"
    assert one.engine.traffic.app_rx.frames == 0


def test_a_flooding_member_is_cut_off_and_not_welcomed_back_at_once() -> None:
    world, one, two, hostile = trio()
    for _ in range(5000):
        session = hostile.session_to(one)
        if session is None or not session.channel:
            break
        hostile.send_raw(one, encode_frame(Ping(t=1)))
        world.run(0.0005)
    world.run(0.1)
    assert "transport_error" in one.drops()
    assert one.is_linked(two)


def test_a_stranger_gets_nothing_through() -> None:
    world = World(2)
    host, stranger = world.pair(ASKING)
    world.run_until(lambda: host.status(stranger) == "pending_approval", within=1.0)
    reached: list[object] = []
    host.switch.channels.listen("c", lambda _peer, payload: reached.append(payload))
    host.switch.rpc.serve("m", reached.append, streaming=False)
    for frame in (
        Channel(channel="c", payload=RAW),
        RpcRequest(request_id="r", method="m", payload=RAW),
        RosterEntries(entries=(RosterEntry(stranger.device_id, "me", 1, "owner"),)),
        Ping(t=1),
    ):
        stranger.send_raw(host, encode_frame(frame))
    world.run(1.0)
    assert reached == []
    assert host.saved.entries == ()
    assert host.status(stranger) == "pending_approval"


def test_a_member_cannot_fill_the_roster_without_bound() -> None:
    world = World(3)
    known = [
        {"device_id": f"{n:052}", "label": "", "approved_at": 1, "role": "member"} for n in range(MAX_ENTRIES - 50)
    ]
    roster = Roster.from_json({"version": 1, "network_id": NETWORK, "authorized_devices": known})
    one, hostile = (world.node(identity, roster=roster) for identity in world.identities(2))
    world.run_until(world.all_linked, within=2.0)
    entries = tuple(
        RosterEntry(Identity.from_seed(n.to_bytes(32, "big")).device_id, "x" * 100, 1, "owner") for n in range(1, 201)
    )
    hostile.send_raw(one, encode_frame(RosterEntries(entries=entries)))
    world.run(0.5)
    assert len(one.saved.entries) == MAX_ENTRIES
    assert one.is_linked(hostile)


def test_a_thousand_forged_devices() -> None:
    world, one, two, _ = trio()
    for number in range(1000):
        forged = Identity.from_seed((number + 10_000).to_bytes(32, "big")).device_id
        one.hear(PeerAnnounced(forged))
        one.hear(OfferReceived(forged, FORGED_SDP + f"a=x:{number}"))
        one.hear(CandidateReceived(forged, Candidate(f"candidate:{number} 1 udp 1 a 1 typ host")))
    assert len(one.sessions()) <= MAX_UNPROVEN_LINKS + 2
    assert one.is_linked(two)
    world.run(120.0)
    assert world.all_linked()
    assert len(one.sessions()) <= MAX_UNPROVEN_LINKS + 2
    world.run(600.0)
    assert world.all_linked()
    assert len(one.switch.peers()) < 100, "nobody who never came is listed for ever"


def test_a_forged_leave_cuts_nothing() -> None:
    world, one, two, _ = trio()
    for _ in range(5):
        one.hear(PeerLeft(two.device_id))
        world.run(2.0)
    assert one.drops() == []
    assert one.is_linked(two)


@pytest.mark.parametrize("victim", ["low", "high"])
def test_a_forged_offer_costs_a_link_nothing(victim: str) -> None:
    """It is answered beside the link, and what answers it proves nothing (03 §23-F)."""
    world = World(9)
    low, high = world.pair()
    world.run_until(world.all_linked, within=1.0)
    world.run(10.0)
    here, there = (low, high) if victim == "low" else (high, low)
    [session] = here.sessions()
    here.hear(OfferReceived(there.device_id, FORGED_SDP))
    for _ in range(60):
        world.run(1.0)
        assert world.all_linked()
        assert here.session_to(there) is session
    assert here.sessions() == [session], "what answered it is gone"
    assert low.drops() == high.drops() == []


def test_forged_answers_and_candidates_are_shrugged_off() -> None:
    world, one, two, _ = trio()
    for number in range(20):
        one.hear(AnswerReceived(two.device_id, FORGED_SDP + f"a=x:{number}"))
        one.hear(CandidateReceived(two.device_id, Candidate(f"candidate:{number} 1 udp 1 a 1 typ host")))
        one.hear(PeerAnnounced(two.device_id))
        world.run(0.3)
    assert one.drops() == []
    assert one.is_linked(two)


def test_a_storm_of_announces_is_reflected_once_a_second() -> None:
    world = World(4)
    [identity, other] = world.identities(2)
    node = world.node(identity, EngineConfig(kind="silent"))
    before = world.room.count(Announce)
    for _ in range(100):
        node.hear(PeerAnnounced(other.device_id))
        world.run(0.1)
    assert world.room.count(Announce) - before <= 11
