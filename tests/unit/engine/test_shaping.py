"""Links come and go with the network's shape (vectors: topology.json `shape_pass`)."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any, Literal

import pytest

from mesh_common.events import PeerDropped
from mesh_common.views import PeerStatus
from myownmesh.engine.actions import CloseSession, OpenSession
from myownmesh.engine.config import EngineConfig
from myownmesh.engine.core import Core
from myownmesh.engine.limits import MAX_PASSING_DIALS
from myownmesh.engine.links import ChannelClosed
from myownmesh.engine.peer import Live
from myownmesh.engine.shaping import take_pass
from myownmesh.engine.timing import LOOK_AROUND_S, SHORTCUTS_S
from myownmesh.identity import Identity
from myownmesh.protocol.clock import Instant
from myownmesh.protocol.frames import RosterEntries, RosterEntry, Shelve, Unshelve
from myownmesh.protocol.modes import FullMesh, Ring, Star, read_mode
from myownmesh.protocol.signals import PeerAnnounced
from myownmesh.protocol.strict_json import dumps
from myownmesh.roster import Roster
from myownmesh.topology.members import Members
from myownmesh.topology.shapes import shape_of
from support.vectors import load
from unit.engine.bench import HIGH, LOW, Bench
from unit.engine.stages import active, connecting, placeholder, shelved

if TYPE_CHECKING:
    from myownmesh.engine.peer import Peer
    from myownmesh.protocol.modes import TopologyMode

NOW = Instant(0.0, 0)
PASSES: list[dict[str, Any]] = load("topology", "shape_pass")


def entry(case: dict[str, Any], number: int) -> Peer:
    match PeerStatus(case["status"]):
        case PeerStatus.ACTIVE:
            peer: Peer = active(case["id"], number)
        case PeerStatus.SHELVED:
            peer = shelved(case["id"], number)
        case _:
            peer = connecting(case["id"], number) if case["transport"] else placeholder(case["id"], number)
    if isinstance(peer, Live):
        peer.upkeep.remote_shelved = case["remote_shelved"]
    return peer


@pytest.mark.parametrize("is_rostered", [True, False])
@pytest.mark.parametrize("case", PASSES, ids=lambda case: case["name"])
def test_a_pass(case: dict[str, Any], *, is_rostered: bool) -> None:
    """Strangers make no ring: of a ring of strangers each is judged alone, beside those that have proved themselves."""
    core = Core(LOW, "home", EngineConfig(), Roster("home"), random.Random(1))
    core.me = case["self"]
    core.known.discard(LOW.device_id)
    core.known.add(core.me)
    core.set_topology(read_mode(dumps(case["mode"])))
    for number, each in enumerate(case["entries"]):
        core.install(entry(each, number), NOW)
        if is_rostered:
            core.save_roster(core.roster.approve(each["id"], "", 0))
        if each["sticky"]:
            core.pins.add(each["id"])
    take_pass(core, NOW)
    assert [each.peer for each in core.out if isinstance(each, CloseSession)] == case["prune"]
    opened = [each.peer for each in core.out if isinstance(each, OpenSession)]
    if is_rostered or case["mode"]["kind"] != "ring":
        assert opened == case["dial_as_offerer"]
    else:
        assert set(opened) >= set(case["dial_as_offerer"])
    for device_id in case["prune"]:
        assert core.peers[device_id].status == "sighted"


def linked(me: Literal["lower", "higher"], mode: TopologyMode, status: str = "active") -> Bench:
    """A person connected the two, whatever the shape says of it."""
    bench = Bench(me, EngineConfig(topology=mode))
    bench.connect()
    bench.up_to("active")
    assert bench.status == status
    bench.take()
    return bench


def spokes() -> Bench:
    """We and the peer are two spokes of a star whose hub is away; the link is admitted, so we have shelved it."""
    return linked("lower", Star("hub"), "shelved")


def test_a_link_that_both_ends_shelved_is_ended_at_the_next_tick_and_stays_listed() -> None:
    bench = spokes()
    assert bench.wait(10.0) == [], "the other end has not shelved it"
    bench.frame(Shelve(reason="topology-rebalance"))
    bench.sent.clear()
    assert bench.wait(2.1) == ["close A1"]
    assert [drop.reason.kind for drop in bench.named(PeerDropped)] == ["topology_pruned"]
    assert bench.status == "sighted"
    assert bench.announce() == ["announce"], "a newcomer is answered, and not dialled"
    assert bench.announce(again=True) == [], "one that the shape keeps apart from us needs no answer"
    assert bench.wait(300.0) == []


def test_the_other_end_may_be_first_and_that_is_no_loss() -> None:
    bench = spokes()
    bench.frame(Shelve(reason="topology-rebalance"))
    bench.sent.clear()
    bench.event(ChannelClosed("closed by the peer"))
    assert [drop.reason.kind for drop in bench.named(PeerDropped)] == ["topology_pruned"]
    assert bench.status == "sighted"
    bench.sent.clear()
    assert bench.wait(300.0) == []


def test_a_link_that_only_we_shelved_and_lost_is_not_dialled_back() -> None:
    bench = spokes()
    bench.event(ChannelClosed("lost"))
    assert [drop.reason.kind for drop in bench.named(PeerDropped)] == ["ice_failed"]
    bench.sent.clear()
    assert bench.wait(120.0) == []


def test_pins_and_silent_networks_keep_what_the_shape_would_end() -> None:
    pinned = spokes()
    pinned.engine.connect(pinned.peer_id, True, None, pinned.now)
    pinned.frame(Shelve(reason="topology-rebalance"))
    pinned.wait(10.0)
    assert pinned.status == "shelved"
    silent = Bench("lower", EngineConfig(topology=Star("hub"), kind="silent"))
    silent.connect()
    silent.up_to("active")
    silent.frame(Shelve(reason="topology-rebalance"))
    silent.wait(10.0)
    assert silent.status == "shelved"


@pytest.mark.parametrize("me", ["lower", "higher"])
def test_back_to_a_full_mesh_pairs_that_were_apart_are_dialled_without_an_announce(
    me: Literal["lower", "higher"],
) -> None:
    bench = linked(me, Star("hub"), "shelved")
    bench.frame(Shelve(reason="topology-rebalance"))
    bench.wait(2.1)
    assert bench.status == "sighted"
    bench.sent.clear()
    bench.engine.set_topology(FullMesh(), bench.now)
    sent = bench.collect()
    assert sent == (["offer A2"] if me == "lower" else [])
    if me == "higher":
        [offer] = bench.wait(3.1)
        assert offer.startswith("offer A"), "the lower id has not changed its shape, so we dial"


def test_a_configuration_that_changes_the_shape_acts_at_once() -> None:
    bench = Bench("lower").up_to("active")
    bench.engine.configure(EngineConfig(topology=Star("hub")), bench.now)
    assert bench.collect() == ["shelve"]
    assert bench.status == "shelved"
    bench.engine.configure(EngineConfig(topology=Star(HIGH.device_id)), bench.now)
    assert bench.collect() == ["unshelve"]
    assert bench.status == "active"


def test_what_was_said_of_shelving_and_got_lost_is_said_again_as_it_stands_then() -> None:
    bench = Bench("lower").up_to("active")
    bench.engine.set_topology(Star("hub"), bench.now)
    assert bench.collect() == ["shelve"]
    bench.engine.frame_lost(bench.peer_id, bench.epoch, Shelve.KIND, bench.now)
    assert bench.wait(2.1) == ["shelve"]
    assert bench.wait(10.0) == []
    bench.engine.set_topology(FullMesh(), bench.now)
    assert bench.collect() == ["unshelve"]
    bench.engine.frame_lost(bench.peer_id, bench.epoch, Unshelve.KIND, bench.now)
    assert bench.wait(2.1) == ["unshelve"]


def test_ids_that_are_only_announced_bend_no_edge() -> None:
    """On a ring of two, whoever stands between them in the alphabet would come between them."""
    bench = linked("lower", Ring(2))
    bench.frame(Shelve(reason="topology-rebalance"))
    for number in range(40):
        stranger = Identity.from_seed(number.to_bytes(32, "big")).device_id
        bench.signal(PeerAnnounced(stranger))
    bench.wait(10.0)
    assert bench.status == "active"
    assert bench.named(PeerDropped) == []


def test_of_a_ring_that_meets_two_are_dialled_at_once_and_then_whom_the_ring_would_want() -> None:
    """The first ones bring the roster; dialling whoever comes would make ten times the links that the ring keeps."""
    bench = Bench("lower", EngineConfig(topology=Ring()))
    room = sorted(Identity.from_seed(number.to_bytes(32, "big")).device_id for number in range(60))
    above = [each for each in room if each > bench.us.device_id]
    for each in sorted(room, key=lambda each: each[::-1]):
        bench.signal(PeerAnnounced(each))
    assert len(bench.epochs) == MAX_PASSING_DIALS
    bench.wait(LOOK_AROUND_S)
    wanted = shape_of(Ring()).wanted(bench.us.device_id, Members([*room, bench.us.device_id]))
    assert wanted.intersection(above) <= bench.epochs.keys()
    assert len(bench.epochs) <= MAX_PASSING_DIALS + len(wanted)


def test_forged_neighbours_of_a_ring_leave_turns_to_others() -> None:
    """Whoever announces the ids right above ours is dialled first, and answers nothing: others have their turn."""
    bench = Bench("lower", EngineConfig(topology=Ring()))
    above = [bench.us.device_id[:-3] + ending for ending in ("zzy", "zzz", "zzq", "zza")]
    for forged in above:
        bench.signal(PeerAnnounced(forged))
    honest = [Identity.from_seed(number.to_bytes(32, "big")).device_id for number in range(12)]
    for each in honest:
        bench.signal(PeerAnnounced(each))
    bench.wait(29.0)
    assert {each for each in honest if each > bench.us.device_id} <= bench.epochs.keys()


def test_while_gossip_brings_members_no_link_is_ended_for_the_shape() -> None:
    """It is what brings them round a ring of hundreds in a few seconds."""
    bench = spokes()
    bench.frame(Shelve(reason="topology-rebalance"))
    stranger = Identity.from_seed(bytes(32)).device_id
    bench.frame(RosterEntries((RosterEntry(stranger, "", 1, "member"),)))
    assert "close A1" not in bench.wait(SHORTCUTS_S - 0.1)
    assert "close A1" in bench.wait(0.2)


def test_when_we_leave_nothing_is_said_again() -> None:
    bench = Bench("lower").up_to("active")
    bench.engine.set_topology(Star("hub"), bench.now)
    bench.engine.leave(bench.now)
    bench.engine.frame_lost(bench.peer_id, bench.epoch, Shelve.KIND, bench.now)
    bench.collect()
    assert bench.wait(10.0) == ["close A1"]
