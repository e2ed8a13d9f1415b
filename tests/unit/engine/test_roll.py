"""What is kept of all entries together is what counting them would find."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from myownmesh.engine import EngineConfig
from myownmesh.engine.core import Core
from myownmesh.engine.peer import Live
from myownmesh.engine.roll import Roll
from myownmesh.protocol.clock import Instant
from myownmesh.protocol.modes import Ring
from myownmesh.roster import Roster
from unit.engine.bench import LOW
from unit.engine.stages import active, connecting, handshaking, pending, placeholder, shelved

if TYPE_CHECKING:
    from myownmesh.engine.peer import Peer

IDS = ("p", "q", "r")
MAKE = (placeholder, connecting, handshaking, pending, active, shelved)
STEPS = st.lists(st.tuples(st.sampled_from(IDS), st.none() | st.sampled_from(range(len(MAKE)))), max_size=30)


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
