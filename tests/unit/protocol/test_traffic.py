"""Frames are counted by class and direction."""

from __future__ import annotations

import pytest

from mesh_common.views import Lane, Traffic
from myownmesh.protocol.frames import KINDS
from myownmesh.protocol.traffic import count_received, count_sent

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
    count_sent(traffic, "ping", 20)
    count_sent(traffic, "channel", 100)
    count_sent(traffic, "channel", 1)
    count_received(traffic, "pong", 21)
    count_received(traffic, "", 5)  # a kind that this version does not know
    assert traffic.app_tx == Lane(2, 101)
    assert traffic.keepalive_rx == Lane(1, 21)
    assert traffic.other_rx == Lane(1, 5)
    assert traffic.other_tx == Lane()
    assert traffic.keepalive_tx == Lane(1, 20)
