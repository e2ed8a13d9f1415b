"""Announces from all their sources: reflections, nudges, the ticker, links that open (spec 03 §10)."""

from __future__ import annotations

import random
from typing import Any

import pytest

from myownmesh.engine import Engine, EngineConfig
from myownmesh.engine.actions import Publish
from myownmesh.identity import Identity
from myownmesh.protocol import base32
from myownmesh.protocol.clock import Instant
from myownmesh.protocol.signals import Announce, PeerAnnounced
from myownmesh.roster import Roster
from support.vectors import load

WALL_MS = 1_700_000_000_000
ALWAYS_SENT = {"ticker", "link_open", "wake"}
"""What does not look at the limiter and does not stamp it; the Nostr client makes these, or the engine bypasses it."""


def at(seconds: float) -> Instant:
    return Instant(seconds, WALL_MS + int(seconds * 1000))


@pytest.mark.parametrize(
    "trace", load("signaling", "announce_limiter")["traces"], ids=lambda trace: str(trace["inputs"])
)
def test_announce_limiter(trace: dict[str, Any]) -> None:
    engine = Engine(
        Identity.from_seed(bytes(32)), "office-mesh", EngineConfig(), Roster("office-mesh"), random.Random(1)
    )
    engine.start(at(0))
    announces: list[float] = []
    for number, (seconds, source) in enumerate(trace["inputs"]):
        stranger = base32.encode(random.Random(number).randbytes(32))
        if source in ALWAYS_SENT:
            announces.append(seconds)
        elif source == "nudge":
            engine.connect(stranger, False, None, at(seconds))
        else:
            engine.receive_signal(PeerAnnounced(stranger), at(seconds))
        announces += [seconds for action in engine.actions() if action == Publish(Announce())]
    assert announces == trace["announces"]
