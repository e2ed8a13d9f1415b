"""Frames are counted by class and direction."""

from __future__ import annotations

import pytest

from myownmesh.protocol.frames import KINDS
from myownmesh.protocol.traffic import Lane, Traffic

CLASSES = {
    "keepalive": "ping pong",
    "control": "hello auth_response approve deny shelve unshelve capabilities_update",
    "gossip": "roster_summary roster_request roster_entries network_state network_state_propose network_state_ack"
    " network_state_split",
    "app": "channel channel_seq channel_ack rpc_request rpc_response rpc_stream_chunk rpc_stream_end",
}


@pytest.mark.parametrize(("name", "kinds"), CLASSES.items())
def test_every_kind_has_its_class(name: str, kinds: str) -> None:
    assert {kind for kind, frame in KINDS.items() if name == frame.TRAFFIC} == set(kinds.split())


def test_counters_count_frames_and_bytes() -> None:
    traffic = Traffic()
    traffic.sent("ping", 20)
    traffic.sent("channel", 100)
    traffic.sent("channel", 1)
    traffic.received("pong", 21)
    traffic.received("", 5)  # a kind that this version does not know
    assert traffic.app_tx == Lane(2, 101)
    assert traffic.keepalive_rx == Lane(1, 21)
    assert traffic.other_rx == Lane(1, 5)
    assert traffic.other_tx == Lane()
    assert traffic.to_json()["keepalive_tx"] == {"frames": 1, "bytes": 20}
    assert traffic.to_json()["announces_rx"] == 0
    assert len(traffic.to_json()) == 16
