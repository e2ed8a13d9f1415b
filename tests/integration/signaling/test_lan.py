"""Devices in a local network without relays: ours among themselves, with v0.3.8 as it was recorded, and beside liars
(spec 03 §18). Every machine is a network namespace of its own."""

from __future__ import annotations

import contextlib
import hashlib
import json
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.lan import NETWORK, OURS, call, calling, devices_beside, join, peers, sees, until, until_active, with_wire
from support.lan_stranger import Stranger, advert, inside, label_of
from support.namespaces import lan_address, needs_namespaces
from support.probe import identity
from support.reference_peer import FIRST_OFFER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.devices import Device
    from support.namespaces import Machine

pytestmark = needs_namespaces

ROOM = hashlib.sha256(f"myownmesh-cloud-mesh-v1:{NETWORK}".encode()).hexdigest()
OFFER_ID = "aaaqeayeaudao"


def is_met_locally(device: Device) -> bool:
    """Whether the device says that the network, which uses no relay, is met in the local network."""
    [row] = device.wire().data("networks_list")["networks"]
    assert row["relays"] == []
    return row.get("lan", False) is True


@pytest.mark.slow
def test_two_devices_meet_lose_the_cable_and_part() -> None:
    with devices_beside(OURS, OURS) as (machines, (low, high)):
        join(low)
        join(high)
        until_active(low, high)
        assert is_met_locally(low)
        assert is_met_locally(high)
        call(low, high, "met")
        machines[1].ip("link", "set", "lan0", "down")
        until(lambda: "offline: {" in (high.home / "log").read_text(), "the device notices")
        assert not is_met_locally(high)
        machines[1].ip("link", "set", "lan0", "up")
        call(high, low, "back")
        with calling(low, high, "while it moves"):
            machines[1].ip("addr", "flush", "dev", "lan0")
            machines[1].add_address("lan0", f"{lan_address(7)}/16")
            call(low, high, "moved")
        assert "beside its link" not in (low.home / "log").read_text(), "the link is the same"
        high.wire().data("network_remove", network=NETWORK)
        until(lambda: sees(low, high) != "active", "the one who stays sees that the other left")
        join(high)
        until_active(low, high)
        assert is_met_locally(high)


@pytest.fixture
def beside() -> Iterator[tuple[Device, Stranger, Machine]]:
    """A device of ours, and a stranger on the next machine."""
    with devices_beside(OURS, others=1) as (machines, [device]):
        stranger = Stranger(machines[1], lan_address(1))
        try:
            yield device, stranger, machines[0]
        finally:
            stranger.close()


def other_id(device: Device, *, lower: bool) -> str:
    """The id of a device that does not run, below that of ours or above it."""
    return next(key for key in (identity(n).device_id for n in range(1, 1000)) if (key < device.key) is lower)


def test_v038_that_is_lower_hears_that_we_came_and_offers(beside: tuple[Device, Stranger, Machine]) -> None:
    ours, stranger, _ = beside
    me = other_id(ours, lower=True)
    join(ours)
    stranger.wait_for_question()
    stranger.send(advert(ROOM, me, stranger.port, stranger.address))
    lines = stranger.accept()
    announce = lines.hear("announce")
    assert (announce["v"], announce["room"], announce["from"], announce["to"]) == (1, ROOM, ours.key, me)
    assert announce["msg"]["peer_id"] == ours.key
    lines.say(ROOM, me, ours.key, kind="offer", peer_id=me, offer_id=OFFER_ID, sdp=FIRST_OFFER)
    answer = lines.hear("answer")
    assert answer["msg"]["offer_id"] == OFFER_ID
    assert answer["msg"]["sdp"].startswith("v=0\r\n")


def test_v038_that_is_higher_is_offered_a_link_and_its_answer_comes_back_on_the_same_connection(
    beside: tuple[Device, Stranger, Machine],
) -> None:
    ours, stranger, _ = beside
    me = other_id(ours, lower=False)
    join(ours)
    label = label_of(ROOM, ours.key)
    address, port, text = stranger.find(label)
    assert address == lan_address(0)
    assert (text["v"], text["room"], text["peer"]) == ("1", ROOM, ours.key)
    stranger.send(advert(ROOM, me, stranger.port, stranger.address))
    offered = stranger.accept()
    offer = offered.hear("offer")
    assert (offer["from"], offer["to"], offer["msg"]["peer_id"]) == (ours.key, me, ours.key)
    assert offered.hear("candidate")["msg"]["sdp_mid"] == ""
    # It is answered to whoever opened the connection, also when its advert was never heard.
    unseen = other_id(ours, lower=True)
    dialled = stranger.dial(address, port)
    dialled.say(ROOM, unseen, ours.key, kind="offer", peer_id=unseen, offer_id=OFFER_ID, sdp=FIRST_OFFER)
    assert dialled.hear("answer")["to"] == unseen
    stranger.send(advert(ROOM, me, stranger.port, stranger.address, ttl=0))
    until(lambda: peers(ours).get(me) in (None, "offline"), "whoever said goodbye is gone")


def memory_mb(device: Device) -> float:
    assert device.process is not None
    status = Path(f"/proc/{device.process.pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) / 1024


def test_liars_are_bounded_and_nobody_elsewhere_is_dialled(beside: tuple[Device, Stranger, Machine]) -> None:
    ours, stranger, machine = beside
    here = inside(machine, lambda: socket.create_server(("127.0.0.1", 0)))
    here.settimeout(0)
    join(ours)
    address, port, _ = stranger.find(label_of(ROOM, ours.key))
    friend = other_id(ours, lower=False)
    # Whom we would offer a link to, at an address of our own machine, far away and a thousand times.
    elsewhere = ["127.0.0.1", "8.8.8.8", "10.77.255.255", "224.0.0.1", "0.0.0.0"]
    stranger.send(advert(ROOM, friend, here.getsockname()[1], *elsewhere))
    stranger.send(advert(ROOM, friend, here.getsockname()[1], *(f"10.200.{n // 250}.{n % 250}" for n in range(200))))
    until(lambda: friend in peers(ours), "the advert is heard")
    before = memory_mb(ours)
    for number in range(10_000):
        stranger.send(advert(ROOM, f"{number:052d}", 9, "10.77.9.9", label=f"mom-{ROOM[:8]}-{number:08d}"))
    # A line that never ends, one of too many pieces, and another device's name.
    endless = stranger.dial(address, port)
    with contextlib.suppress(ConnectionError):
        for _ in range(40):
            endless.sock.sendall(b"x" * 16_384)
    assert endless.is_ended()
    thief = stranger.dial(address, port)
    thief.say(ROOM, friend, ours.key, kind="offer", peer_id=friend, offer_id=OFFER_ID, sdp=FIRST_OFFER)
    crowd = [stranger.dial(address, port) for _ in range(10)]
    assert any(lines.is_ended() for lines in crowd[8:]), "too many of one address"
    with pytest.raises(BlockingIOError):
        here.accept()
    here.close()
    # The real one is heard, and gets the answers that the thief waits for.
    stranger.send(advert(ROOM, friend, stranger.port, stranger.address))
    real = stranger.accept()
    assert real.hear("offer")["to"] == friend
    assert with_wire(ours, "status")
    assert memory_mb(ours) - before < 12
    assert json.dumps(peers(ours)).count("sighted") < 600
