"""The connection trace of our daemon beside that of the reference's own program: the same members, words and order."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING, Any

import pytest

from integration.reference.test_mixed_pairs import NETWORK, pair
from support.reference import needs_reference

if TYPE_CHECKING:
    from integration.reference.test_mixed_pairs import Device, Wire

__all__ = ["pair"]

pytestmark = [
    pytest.mark.slow,
    needs_reference,
]


def trace_of(device: Device) -> Wire:
    wire = device.wire()
    assert wire.ask("trace_subscribe", network=NETWORK)["stream"] == "conn_trace"
    return wire


def next_of(wire: Wire, changed: str) -> dict[str, Any]:
    while changed not in (record := json.loads(wire.receive()))["changed"]:
        pass
    told: dict[str, Any] = record
    return told


def test_both_tell_how_a_link_stands_and_what_a_stop_changes(pair: tuple[Device, Device]) -> None:
    """Spec 05 §10.6."""
    ours, theirs = pair
    traces = {device.device_id: trace_of(device) for device in pair}
    first = {device.device_id: next_of(traces[device.device_id], "appeared") for device in pair}
    mine, other = first[ours.device_id], first[theirs.device_id]
    shared = [name for name in other if name in mine and name not in ("last_recv_age_ms", "rtt_ms")]
    assert [name for name in mine if name in shared] == shared, "in the same order"
    assert set(other) - set(mine) <= {"last_recv_age_ms", "rtt_ms"}
    assert set(mine) - set(other) <= {"last_recv_age_ms", "rtt_ms", "sealed", "why"}
    same = ("network_id", "changed", "status", "tier", "ice_state", "pc_state", "pair_class", "authenticated")
    assert [mine[name] for name in same] == [other[name] for name in same]
    assert theirs.process is not None
    theirs.process.send_signal(signal.SIGSTOP)
    try:
        down = next_of(traces[ours.device_id], "ice")
        assert (down["ice_state"], down["pc_state"], down["status"]) == ("Disconnected", "Disconnected", "active")
    finally:
        theirs.process.send_signal(signal.SIGCONT)
