"""Heartbeat, round trips and the clock watch (spec 01 §8, 04 §7.10)."""

from __future__ import annotations

from typing import Any

import pytest

from myownmesh.engine.actions import RedialRelays
from myownmesh.engine.keepalive import receive_pong
from myownmesh.protocol.clock import Instant
from myownmesh.protocol.frames import Ping, Pong
from support.vectors import load
from unit.engine.bench import Bench
from unit.engine.stages import active


@pytest.mark.parametrize("case", load("peer-protocol", "keepalive")["rtt"])
def test_round_trip(case: dict[str, Any]) -> None:
    peer = active()
    if case["last_ping_t"] is not None:
        peer.upkeep.last_ping = (case["last_ping_t"], 0.0)
    receive_pong(peer, Pong(t=case["pong_t"]), Instant(1e9, case["now"]))
    assert peer.upkeep.rtt_ms == case["rtt_ms"]


def test_a_ping_is_answered_unchanged() -> None:
    bench = Bench("lower").up_to("active")
    for t in (1, -5, 2**63 - 1, 0):
        assert bench.frame(Ping(t=t)) == ["pong"]
        assert bench.frames[-1] == Pong(t=t)


def test_every_thirty_seconds_a_ping() -> None:
    bench = Bench("lower").up_to("active")
    pings = 0
    for _ in range(10):
        words = bench.wait(30.0)
        pings += words.count("ping")
        bench.raw(b'{"kind":"pong","t":1}')
    assert pings == 10


def test_silence_ends_a_link_at_the_tick_after_ninety_seconds() -> None:
    bench = Bench("lower").up_to("active")
    bench.wait(15.0)
    bench.raw(b'{"kind":"pong","t":1}')
    bench.wait(104.0)
    assert bench.status == "active"
    words = bench.wait(1.5)
    assert "close A1" in words
    assert "announce" in words
    assert bench.status == "dropped heartbeat_timeout"


def test_pending_peers_are_not_pinged() -> None:
    bench = Bench("lower").up_to("pending")
    assert "ping" not in bench.wait(100.0)
    assert bench.status == "pending_approval"


def test_a_wrong_clock_is_reported_once() -> None:
    bench = Bench("lower").up_to("active")
    for _ in range(10):
        bench.frame(Ping(t=bench.now.wall_ms + 60_000))
        bench.wait(30.0)
    warnings = [diag for diag in bench.diags if diag.category == "clock"]
    assert [(diag.level, diag.detail) for diag in warnings] == [("warn", {"skew_ms": 60_000, "peers": 1})]
    assert bench.engine.peers(bench.now)[0].clock_skew_ms == 60_000
    for _ in range(8):
        bench.frame(Ping(t=bench.now.wall_ms))
    bench.wait(30.0)
    assert [diag.level for diag in bench.diags if diag.category == "clock"] == ["warn", "info"]


def test_an_absurd_clock_overflows_nothing() -> None:
    bench = Bench("lower").up_to("active")
    for _ in range(5):
        bench.frame(Ping(t=2**63 - 1))
    skew = bench.engine.peers(bench.now)[0].clock_skew_ms
    assert skew is not None
    assert skew < 2**62


def test_a_clock_that_is_set_cuts_nothing() -> None:
    bench = Bench("lower").up_to("active")
    for jump_ms in (3_600_000, -7_200_000, 3_600_000):
        bench.skew_ms += jump_ms
        for _ in range(4):
            words = bench.wait(30.0)
            assert words.count("ping") == 1
            bench.raw(b'{"kind":"pong","t":1}')
    assert bench.status == "active"
    assert not any(isinstance(action, RedialRelays) for action in bench.actions)


def test_a_clock_that_is_set_makes_no_round_trip_long() -> None:
    bench = Bench("lower").up_to("active")
    bench.wait(30.0)
    [ping] = [frame for frame in bench.frames if isinstance(frame, Ping)]
    bench.mono += 0.02
    bench.skew_ms = 10**15
    bench.frame(Pong(t=ping.t))
    assert bench.engine.peers(bench.now)[0].rtt_ms == 20
