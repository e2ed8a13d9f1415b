"""A peer of which nothing but announces comes: are our relays deaf? (spec 04 §7.6, §15.1 no. 24)."""

from __future__ import annotations

from typing import Any

import pytest

from myownmesh.engine.actions import RedialRelays
from myownmesh.engine.rescue_gate import RescueGate
from myownmesh.identity import Identity
from myownmesh.protocol.frames import Pong
from myownmesh.protocol.signals import OfferReceived, PeerAnnounced
from support.vectors import load
from unit.engine.bench import LOW, Bench, sdp

VECTORS = load("topology", "relay_rescue")


def test_the_gate_opens_as_often_as_the_vectors_say() -> None:
    gate = RescueGate()
    assert [gate.permit(step["peer"], step["at_s"]) for step in VECTORS["sequence"]] == [
        step["permit"] for step in VECTORS["sequence"]
    ]


def test_a_candidate_of_the_rescued_peer_opens_it_again() -> None:
    gate = RescueGate()
    for step in VECTORS["confirm"]:
        if step["event"] == "candidate":
            gate.heard(step["peer"])
        else:
            assert gate.permit(step["peer"], step["at_s"]) == step["permit"]


def test_the_wait_has_a_ceiling() -> None:
    cap = VECTORS["cap"]
    for since_s, permit in zip(cap["since_last_s"], cap["permit"], strict=True):
        assert RescueGate(cap["unconfirmed_before"], 1000.0, "p").permit("p", 1000.0 + since_s) == permit


def test_asked_all_the_time_it_opens_at_these_seconds() -> None:
    gate = RescueGate()
    opened = [second for second in range(2000) if gate.permit("p", second) is not None]
    assert opened == VECTORS["unconfirmed_permit_times_s_below_2000"]


def redials(bench: Bench) -> list[bool]:
    return [action.if_mute for action in bench.actions if isinstance(action, RedialRelays)]


def told(bench: Bench) -> list[dict[str, Any]]:
    return [diag.detail for diag in bench.diags if diag.detail is not None and "redial" in diag.detail]


def test_when_nothing_came_in_time_the_relays_are_redialled_and_more_rarely_after_that() -> None:
    bench = Bench("lower")
    bench.announce()
    bench.wait(29.9)
    assert redials(bench) == []
    bench.wait(0.2)
    assert redials(bench) == [False]
    expected = {"peer": bench.peer_id, "reason": "no_remote_candidates", "other_live_peers": 0, "redial": True}
    assert told(bench) == [{**expected, "unconfirmed_attempt": 1}]
    bench.announce()
    bench.wait(30.1)
    assert len(redials(bench)) == 1, "half a minute later it is too early"


@pytest.mark.parametrize("how", ["a message", "in its description"])
def test_a_candidate_shows_that_the_relays_carry_what_it_says(how: str) -> None:
    bench = Bench("lower")
    bench.announce()
    if how == "a message":
        bench.candidate("1")
    else:
        with_candidate = sdp("B1") + "a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n"
        bench.signal(OfferReceived(bench.peer_id, with_candidate))
        bench.wait(2.6)
    bench.wait(31.0)
    assert redials(bench) == []


def test_a_candidate_confirms_the_rescue() -> None:
    bench = Bench("lower")
    bench.announce()
    bench.wait(30.1)
    bench.announce()
    bench.candidate("1")
    bench.wait(30.1)
    bench.announce()
    bench.wait(30.1)
    assert len(redials(bench)) == 2


def test_while_others_are_linked_the_relays_are_left_alone() -> None:
    bench = Bench("lower").up_to("active")
    made = (Identity.from_seed(bytes([number]) * 32).device_id for number in range(20, 60))
    stranger = next(device_id for device_id in made if device_id > LOW.device_id)
    bench.signal(PeerAnnounced(stranger))
    bench.wait(15.0)
    bench.frame(Pong(t=1))
    bench.wait(15.1)
    assert redials(bench) == []
    assert [(each["other_live_peers"], each["redial"]) for each in told(bench)] == [(1, False)]
