"""What is kept of all entries together is what counting them would find."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from myownmesh.engine import EngineConfig
from myownmesh.engine.core import Core
from myownmesh.engine.peer import Live
from myownmesh.engine.roll import Roll
from myownmesh.engine.timers import PeerTimer
from myownmesh.protocol.clock import Instant
from myownmesh.protocol.modes import FullMesh, Ring
from myownmesh.roster import Roster
from unit.engine.bench import LOW
from unit.engine.stages import active, connecting, handshaking, pending, placeholder, shelved

if TYPE_CHECKING:
    from myownmesh.engine.peer import Peer

IDS = ("p", "q", "r")
MAKE = (placeholder, connecting, handshaking, pending, active, shelved)
STEPS = st.lists(st.tuples(st.sampled_from(IDS), st.none() | st.sampled_from(range(len(MAKE)))), max_size=30)


@pytest.mark.unwatched
@given(steps=STEPS)
def test_statuses_and_admitted_peers_are_those_of_the_entries(steps: list[tuple[str, int | None]]) -> None:
    roll = Roll()
    peers: dict[str, Peer] = {}
    for device_id, stage in steps:
        after = None if stage is None else MAKE[stage](device_id)
        roll.replaced(peers.get(device_id), after)
        if after is not None:
            peers[device_id] = after
        else:
            peers.pop(device_id, None)
        assert set(roll.statuses()) == {peer.status for peer in peers.values()}
        assert list(roll.live()) == [peer for peer in peers.values() if isinstance(peer, Live)]


@pytest.mark.unwatched
@given(ids=st.sets(st.sampled_from("abcdefghijkl"), min_size=1), gone=st.sampled_from("abcdefghijkl"))
def test_whom_the_shape_wants_follows_the_roster(ids: set[str], gone: str) -> None:
    core = Core(LOW, "home", EngineConfig(topology=Ring(2)), Roster("home"), random.Random(1))
    for device_id in sorted(ids):
        core.install(placeholder(device_id), Instant(0.0, 0))
    everybody = core.roster
    for device_id in sorted(ids):
        everybody = everybody.approve(device_id, "", 0)
    for roster in (everybody, everybody.remove(gone), core.roster):
        core.save_roster(roster)
        assert set(core.known) == {core.me, *(ids & roster.ids)}
        asked = {device_id: core.wants_link(device_id) for device_id in sorted(ids)}
        assert {device_id for device_id in ids & roster.ids if asked[device_id]} == core.wanted()
        assert {device_id: core.wants_link(device_id) for device_id in sorted(ids)} == asked


def test_who_becomes_a_member_that_the_shape_keeps_apart_waits_for_no_dial() -> None:
    """Of those whom the shape wants, of pinned ones and of strangers the dial stays."""
    core = Core(
        LOW, "home", EngineConfig(topology=Ring(2), pinned_peers=frozenset({"d"})), Roster("home"), random.Random(1)
    )
    ids, roster = "abcdefgh", core.roster
    for device_id in ids:
        core.install(placeholder(device_id), Instant(0.0, 0))
        core.timers.set(PeerTimer.DIAL_ANYWAY, device_id, 3.0)
        roster = roster if device_id == "e" else roster.approve(device_id, "", 0)
    core.save_roster(roster)
    waiting = {device_id for device_id in ids if core.timers.is_set(PeerTimer.DIAL_ANYWAY, device_id)}
    assert len(core.wanted()) == 2
    assert waiting == {*core.wanted(), "d", "e"}
    core.set_topology(FullMesh())
    core.save_roster(roster.approve("e", "", 0))
    assert core.timers.is_set(PeerTimer.DIAL_ANYWAY, "e")
