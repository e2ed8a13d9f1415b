"""The role `relay` among ours and the reference's program: who hands on, and what the other side reads (spec 06 §5)."""

from __future__ import annotations

from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any

import pytest

from integration.reference.test_mixed_pairs import NETWORK, OURS, Device, meet, room
from support.reference import REFERENCE, needs_reference

if TYPE_CHECKING:
    from collections.abc import Iterator

CHANNEL = "__mesh_relay__/v1"

pytestmark = [
    pytest.mark.slow,
    needs_reference,
]


@pytest.fixture(params=[OURS, REFERENCE], ids=["ours hands on", "theirs hands on"])
def three(request: pytest.FixtureRequest) -> Iterator[tuple[Device, Device, Device]]:
    """Who hands on, ours, theirs: all have met."""
    with room() as (base, relay), ExitStack() as stack:
        programs = {"h": request.param, "o": OURS, "t": REFERENCE}
        devices = [Device(program, base / name) for name, program in programs.items()]
        for each in devices:
            stack.enter_context(closing(each))
            each.start()
            each.join(relay)
        host, ours, theirs = devices
        meet(host, ours)
        meet(host, theirs)
        yield host, ours, theirs


def listens(device: Device) -> Any:
    events = device.wire()
    client = events.ask("events_subscribe")["client_id"]
    device.ask("channel_subscribe", client_id=client, network=NETWORK, channel=CHANNEL)
    return events


def test_a_frame_is_handed_on_with_the_name_of_its_origin(three: tuple[Device, Device, Device]) -> None:
    host, ours, theirs = three
    config = host.ask("services_status")["config"]
    status = host.ask("services_set", services={**config, "relay": {"enabled": True, "max_fanout": 0}})["status"]
    assert status["relay"] == {"enabled": True, "networks": 1, "max_fanout": 0}
    for sender, receiver in ((ours, theirs), (theirs, ours)):
        events = listens(receiver)
        for dst in (receiver.device_id, ""):
            envelope = {"dst": dst, "payload": {"to": dst}}
            sender.ask("channel_send_to", network=NETWORK, peer=host.device_id, channel=CHANNEL, payload=envelope)
            frame = events.frame("channel_inbound")
            assert frame["from"] == host.device_id
            assert frame["payload"] == {"dst": "", "src": sender.device_id, "payload": {"to": dst}}
