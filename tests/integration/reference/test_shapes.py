"""A star of real daemons: who holds a link to whom, and how frames get from spoke to spoke; all ours, and mixed."""

from __future__ import annotations

from contextlib import ExitStack
from itertools import permutations
from typing import TYPE_CHECKING

import pytest

from integration.reference.test_mixed_pairs import NETWORK, OURS, Device, room, until
from support.reference import REFERENCE, needs_reference

if TYPE_CHECKING:
    from collections.abc import Iterator

    from integration.reference.test_mixed_pairs import Wire

CASTS = {
    "all ours": (OURS, OURS, OURS, OURS),
    "their hub": (REFERENCE, OURS, OURS, REFERENCE),
    "our hub": (OURS, REFERENCE, REFERENCE, OURS),
}


@pytest.fixture(
    params=[pytest.param(cast, marks=needs_reference if REFERENCE in CASTS[cast] else ()) for cast in CASTS]
)
def star(request: pytest.FixtureRequest) -> Iterator[list[Device]]:
    """The hub and three spokes, linked as a full mesh first."""
    with room() as (base, relay), ExitStack() as stack:
        devices = [Device(program, base / f"d{number}") for number, program in enumerate(CASTS[request.param])]
        for device in devices:
            stack.callback(device.close)
            device.start()
        for device in devices:
            device.join(relay)
        until(lambda: pairs(devices) == {"active"}, "a full mesh")
        for device in devices:
            device.ask("topology_set", network=NETWORK, topology="star", hub=devices[0].device_id)
        yield devices


def pairs(devices: list[Device]) -> set[str | None]:
    """What they see of each other."""
    return {one.sees(other) for one, other in permutations(devices, 2)}


def listener(device: Device) -> Wire:
    wire = device.wire()
    client = wire.ask("events_subscribe")["client_id"]
    device.ask("channel_subscribe", client_id=client, network=NETWORK, channel="chat")
    return wire


def test_a_star_is_pruned_and_its_hub_carries_frames(star: list[Device]) -> None:
    hub, *spokes = star
    # Of two of the reference's, the one that is closed on forgets the other until it announces itself.
    until(lambda: pairs(spokes) <= {"sighted", None}, "the spokes let each other go")
    assert all(spoke.sees(hub) == hub.sees(spoke) == "active" for spoke in spokes)

    wires = [listener(device) for device in star]
    first, second, third = spokes
    first.ask("channel_send_to", network=NETWORK, channel="chat", peer=second.device_id, payload={"n": 1})
    heard = wires[2].frame("channel_inbound")
    assert (heard["from"], heard["payload"]) == (first.device_id, {"n": 1})
    assert first.ask("channel_send_all", network=NETWORK, channel="chat", payload={"n": 2}) == {"dispatched_to": 1}
    for wire in (wires[0], wires[2], wires[3]):
        heard = wire.frame("channel_inbound")
        assert (heard["from"], heard["payload"]) == (first.device_id, {"n": 2})
    assert hub.ask("channel_send_all", network=NETWORK, channel="chat", payload={"n": 3}) == {"dispatched_to": 3}
    for wire in wires[1:]:
        heard = wire.frame("channel_inbound")
        assert (heard["from"], heard["payload"]) == (hub.device_id, {"n": 3})
    third.ask("channel_send_to", network=NETWORK, channel="chat", peer=first.device_id, payload="x" * 40_000)
    assert wires[1].frame("channel_inbound")["from"] == third.device_id

    for device in star:
        device.ask("topology_set", network=NETWORK, topology="full_mesh")
    if all(device.program == OURS for device in star):
        until(lambda: pairs(star) == {"active"}, "a full mesh again")
