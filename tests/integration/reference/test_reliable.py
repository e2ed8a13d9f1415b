"""Reliable sends between ours and the reference's, through a kill and reconnects."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING

import pytest

from integration.reference.test_mixed_pairs import NETWORK, both_ways, meet, pair
from support.reference import needs_reference

if TYPE_CHECKING:
    from integration.reference.test_mixed_pairs import Device

__all__ = ["pair"]

pytestmark = [
    pytest.mark.slow,
    needs_reference,
]


def test_reliable_sends_arrive_once_and_are_acknowledged(pair: tuple[Device, Device]) -> None:
    for sender, receiver in both_ways(pair):
        events = receiver.wire()
        client = events.ask("events_subscribe")["client_id"]
        receiver.ask("channel_subscribe", client_id=client, network=NETWORK, channel="r")
        target = {"network": NETWORK, "channel": "r", "peer": receiver.device_id}
        for number in range(3):
            assert sender.ask("channel_send_reliable", payload=number, **target) == {"delivered": True}
        sender.ask("network_reconnect", network=NETWORK)
        for number in range(3, 6):
            assert sender.ask("channel_send_reliable", payload=number, **target) == {"delivered": True}
        assert [events.frame("channel_inbound")["payload"] for _ in range(6)] == list(range(6))


@pytest.mark.parametrize("who", ["ours", "theirs"])
def test_a_send_waits_for_a_killed_peer(pair: tuple[Device, Device], who: str) -> None:
    ours, theirs = pair
    sender, fallen = (ours, theirs) if who == "ours" else (theirs, ours)
    fallen.end(signal.SIGKILL)
    answers = []
    wire = sender.wire()

    def send() -> None:
        target = {"network": NETWORK, "channel": "r", "peer": fallen.device_id}
        answers.append(wire.ask("channel_send_reliable", payload="late", **target))

    waiting = threading.Thread(target=send)
    waiting.start()
    fallen.start()
    meet(sender, fallen)
    waiting.join(30.0)
    assert answers == [{"delivered": True}]
