"""How often the ticker announces us: seldom where nobody is missed (spec 03 §10.3)."""

from __future__ import annotations

from typing import Literal

import pytest

from myownmesh.engine import EngineConfig
from myownmesh.engine.actions import SetPace
from myownmesh.engine.links import ChannelClosed
from myownmesh.engine.timing import HEARD_LATELY_S
from myownmesh.identity import Identity
from myownmesh.protocol.frames import Ping
from myownmesh.protocol.modes import Star
from myownmesh.protocol.signals import AnswerReceived, OfferReceived, PeerAnnounced, PeerLeft, TwinHeard, TwinLeft
from myownmesh.roster import Roster
from unit.engine.bench import NETWORK, Bench, sdp

OPEN = EngineConfig(auto_approve=True)
OUR_LINE = "a=max-message-size:65535\r\n"
STRANGER = Identity.from_seed(bytes([55]) * 32).device_id


def paces(bench: Bench) -> list[bool]:
    bench.collect()
    return [action.quiet for action in bench.actions if isinstance(action, SetPace)]


def linked(
    me: Literal["lower", "higher"] = "higher",
    *,
    ours: bool = True,
    config: EngineConfig = OPEN,
    roster: Roster | None = None,
) -> Bench:
    """With a peer of ours, or of v0.3.8."""
    bench = Bench(me, config, roster=roster)
    text = sdp("B1") + (OUR_LINE if ours else "")
    if me == "higher":
        bench.signal(OfferReceived(bench.peer_id, text, ""))
    else:
        bench.announce()
        bench.signal(AnswerReceived(bench.peer_id, text, ""))
    bench.open_channel()
    bench.hello()
    bench.proof()
    if not bench.info.local_approve_sent:
        bench.approve()
    bench.raw(b'{"kind":"approve"}')
    assert bench.status == "active"
    return bench


@pytest.mark.parametrize("me", ["lower", "higher"])
def test_where_everybody_is_linked_the_ticker_is_slow_until_somebody_is_lost(me: Literal["lower", "higher"]) -> None:
    bench = linked(me)
    assert paces(bench) == []
    bench.wait(31)
    assert paces(bench) == [True]
    bench.event(ChannelClosed("gone"))
    assert paces(bench) == [True, False], "at once"


def test_alone_it_is_as_it_was() -> None:
    bench = Bench("lower")
    bench.wait(600)
    assert paces(bench) == []


def test_v038_is_given_what_it_is_used_to() -> None:
    bench = linked(ours=False)
    bench.wait(65)
    assert paces(bench) == []


def test_silent_networks_keep_their_pace() -> None:
    bench = linked(config=EngineConfig(auto_approve=True, kind="silent"))
    bench.wait(65)
    assert paces(bench) == []


def test_another_process_with_our_identity_ends_the_quiet() -> None:
    bench = linked()
    bench.wait(31)
    bench.signal(TwinHeard(bench.us.device_id, is_elder=False))
    for _ in range(3):
        bench.wait(30)
        bench.frame(Ping(t=0))
    assert paces(bench) == [True, False]
    bench.signal(TwinLeft(bench.us.device_id))
    bench.wait(31)
    assert paces(bench) == [True, False, True]


def test_a_member_that_is_away_is_missed() -> None:
    roster = Roster(NETWORK).approve(STRANGER, "away", 1)
    bench = linked(roster=roster)
    bench.wait(65)
    assert paces(bench) == []


def test_a_member_whom_the_shape_keeps_apart_is_there_as_long_as_it_is_heard() -> None:
    roster = Roster(NETWORK).approve(STRANGER, "spoke", 1)
    hub = Bench("higher").peer_id
    bench = linked(config=EngineConfig(auto_approve=True, topology=Star(hub=hub)), roster=roster)
    bench.signal(PeerAnnounced(STRANGER))
    for _ in range(round(HEARD_LATELY_S / 30) - 1):
        bench.wait(30)
        bench.frame(Ping(t=0))
    assert paces(bench) == [True]
    for _ in range(3):
        bench.wait(30)
        bench.frame(Ping(t=0))
    assert paces(bench) == [True, False]
    bench.signal(PeerAnnounced(STRANGER, again=True))
    bench.wait(31)
    assert paces(bench) == [True, False, True]
    bench.signal(PeerLeft(STRANGER))
    bench.wait(31)
    assert paces(bench) == [True, False, True, False]


def test_our_own_entry_in_the_roster_is_missed_by_nobody() -> None:
    us = Bench("higher").us.device_id
    roster = Roster(NETWORK).approve(us, "me", 1)
    bench = linked(roster=roster)
    bench.wait(65)
    assert paces(bench) == [True]
