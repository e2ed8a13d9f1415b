"""Offers and answers of v0.3.8 that come too soon to be meant for this process or transport (spec 04 §5.5)."""

from __future__ import annotations

import random
from typing import Literal

from myownmesh.engine import EngineConfig
from myownmesh.engine.limits import MAX_UNPROVEN_LINKS
from myownmesh.protocol.offer_ids import new_offer_id
from myownmesh.protocol.signals import EchoHeard, OfferReceived
from unit.engine.bench import Bench, sdp

DELAY_S = 3.0
NAMELESS = "abcdefghijkl7"
"""As v0.3.8 writes it: it says nothing."""


def fresh(me: Literal["lower", "higher"] = "higher") -> Bench:
    return Bench(me, EngineConfig(auto_approve=True))


def hear_echo(bench: Bench, late_s: float = DELAY_S) -> None:
    bench.signal(EchoHeard(bench.us.device_id, late_s))


# ── offers ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_offer_before_one_that_our_announce_caused_waits_and_the_next_takes_its_place() -> None:
    bench = fresh()
    hear_echo(bench)
    assert bench.offer("B1", NAMELESS) == []
    assert bench.wait(2.0) == []
    assert bench.offer("B2", NAMELESS) == []
    assert bench.wait(1.2) == []
    assert bench.wait(0.2) == ["answer A1 to B2"]


def test_an_offer_that_no_other_follows_is_answered_when_its_time_is_over() -> None:
    bench = fresh()
    hear_echo(bench)
    bench.offer("B1", NAMELESS)
    assert bench.wait(DELAY_S + 0.4) == ["answer A1 to B1"]
    assert bench.wait(10.0) == []


def test_while_nobody_knows_how_late_the_room_is_nothing_waits() -> None:
    assert fresh().offer("B1", NAMELESS) == ["answer A1 to B1"]


def test_in_a_quick_room_nothing_waits() -> None:
    bench = fresh()
    hear_echo(bench, 0.4)
    assert bench.offer("B1", NAMELESS) == ["answer A1 to B1"]


def test_ours_name_their_offers_and_wait_for_nothing() -> None:
    bench = fresh()
    hear_echo(bench)
    named = new_offer_id(bench.peer_id, bench.us.device_id, random.Random(1))
    assert bench.offer("B1", named) == ["answer A1 to B1"]


def test_only_the_first_echo_counts() -> None:
    bench = fresh()
    hear_echo(bench, 0.1)
    hear_echo(bench, 5.0)
    assert bench.offer("B1", NAMELESS) == ["answer A1 to B1"]


def test_who_leaves_is_not_answered_any_more() -> None:
    bench = fresh()
    hear_echo(bench)
    bench.offer("B1", NAMELESS)
    bench.leave()
    assert bench.wait(10.0) == []


def test_a_crowd_that_offers_is_not_kept() -> None:
    bench = fresh()
    hear_echo(bench)
    for number in range(MAX_UNPROVEN_LINKS):
        bench.signal(OfferReceived(f"{number:052}", sdp("B1"), NAMELESS))
    assert bench.offer("B1", NAMELESS) == ["answer A1 to B1"]
    assert bench.signal(OfferReceived(f"{0:052}", sdp("B2"), NAMELESS)) == []


# ── answers ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_answer_that_is_too_soon_waits_and_the_next_one_is_taken() -> None:
    bench = fresh("lower")
    hear_echo(bench)
    bench.announce()
    bench.wait(2.0)
    assert "apply B1" not in bench.answer("B1")
    assert "apply B1" not in bench.wait(3.9)
    assert "apply B2" in bench.answer("B2")
    assert bench.wait(3.0) == []


def test_an_answer_that_was_quicker_than_the_room_seemed_is_taken_when_no_other_comes() -> None:
    bench = fresh("lower")
    hear_echo(bench)
    bench.announce()
    bench.wait(2.0)
    bench.answer("B1")
    assert bench.wait(2 * DELAY_S - 2.0 + 0.4) == ["apply B1"]


def test_an_answer_in_time_is_taken_at_once() -> None:
    bench = fresh("lower")
    hear_echo(bench)
    bench.announce()
    bench.wait(2 * DELAY_S)
    assert bench.answer("B1") == ["apply B1"]


def test_in_a_quick_room_any_answer_is_in_time() -> None:
    bench = fresh("lower")
    hear_echo(bench, 0.4)
    bench.announce()
    assert bench.answer("B1") == ["apply B1"]


def test_on_a_link_that_stands_no_answer_is_too_soon() -> None:
    """In a slow room a restart right behind a meeting that the peer had begun was never answered: each answer was kept
    for one of another attempt, and no time came for it."""
    bench = fresh()
    hear_echo(bench)
    bench.wait(10.0)
    bench.offer("B1", NAMELESS)
    bench.up_to("active")
    bench.engine.reconnect(bench.peer_id, bench.now)
    assert "offer A1.2 r2" in bench.collect()
    assert "apply B1.2 r2" in bench.answer("B1.2 r2")
