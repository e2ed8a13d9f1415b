"""Reliable channels as their receiver (vectors: peer-protocol.json `reliable`)."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from myownmesh.engine import EngineConfig
from myownmesh.engine.links import ChannelClosed
from myownmesh.protocol.frames import ChannelAck, ChannelSeq
from support.vectors import load
from unit.engine.bench import Bench

TRACES: list[dict[str, Any]] = load("peer-protocol", "reliable")["receiver_traces"]


def frame(stream: int, seq: int) -> ChannelSeq:
    return ChannelSeq(stream=stream, seq=seq, channel="c", payload=msgspec.Raw(b"1"))


@pytest.mark.parametrize("trace", TRACES)
def test_receiver(trace: dict[str, Any]) -> None:
    bench = Bench("lower").up_to("active")
    for step in trace["steps"]:
        bench.delivered.clear()
        assert bench.frame(frame(step["stream"], step["seq"])) == ["channel_ack"]
        assert bench.frames[-1] == ChannelAck(stream=step["ack"]["stream"], up_to=step["ack"]["up_to"])
        assert bench.delivered == ([frame(step["stream"], step["seq"])] if step["deliver"] else [])


def test_the_mark_outlives_the_link() -> None:
    """After a rebuild the sender repeats what it never saw acknowledged."""
    bench = Bench("higher", EngineConfig(auto_approve=True)).up_to("active")
    bench.frame(frame(2**64 - 1, 2**63))
    bench.event(ChannelClosed("lost"))
    bench.offer("B2")
    bench.up_to("active")
    bench.delivered.clear()
    assert bench.frame(frame(2**64 - 1, 2**63)) == ["channel_ack"]
    assert bench.delivered == []
