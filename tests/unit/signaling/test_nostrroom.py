"""The ticker of a room (spec 03 §10.1): its paces, and what is due when they change."""

from __future__ import annotations

import random

from myownmesh.protocol.clock import Instant
from myownmesh.signaling.nostrroom import NostrRoom

ME = "a" * 52


def at(seconds: float) -> Instant:
    return Instant(seconds, 1_700_000_000_000 + round(seconds * 1000))


def room() -> NostrRoom:
    return NostrRoom(
        device_id=ME, network_id="home", app_id="app", listen_only=False, rng=random.Random(1), now=at(0.0)
    )


def due(ticker: NostrRoom) -> float:
    found = ticker.next_tick()
    assert found is not None
    return found


def test_the_pace_counts_from_the_last_announce() -> None:
    ticker = room()
    assert due(ticker) == 30.0
    ticker.handle_tick(at(30.0))
    assert 102.0 <= due(ticker) - 30.0 <= 138.0
    ticker.set_pace(60.0, quiet=True)
    assert 612.0 <= due(ticker) - 30.0 <= 828.0
    ticker.set_pace(90.0, quiet=False)
    assert 102.0 <= due(ticker) - 30.0 <= 138.0


def test_whoever_was_quiet_for_long_speaks_at_once_when_somebody_is_missed() -> None:
    ticker = room()
    ticker.handle_tick(at(30.0))
    ticker.set_pace(60.0, quiet=True)
    ticker.set_pace(500.0, quiet=False)
    assert due(ticker) == 500.0
    ticker.handle_tick(at(500.0))
    assert due(ticker) >= 602.0
