"""The LAN driver where multicast fails it, where it is to be silent, and where others say too much."""

from __future__ import annotations

import logging
import math
from ipaddress import IPv4Network
from typing import TYPE_CHECKING, cast

import pytest
import trio
import trio.testing

from myownmesh.lan import txt
from myownmesh.lan.directory import Address, Service, Text
from myownmesh.lan.filing import MAX_ACCEPTED_PER_ADDRESS
from myownmesh.lan.names import full_name, host_name, instance_label
from myownmesh.protocol.clock import Instant
from myownmesh.protocol.signals import Announce, Leave, PeerAnnounced, SendAnswer, StandAside
from myownmesh.signaling.gate import ContentGate
from myownmesh.signaling.lan import (
    AGAIN_S,
    ANNOUNCES_BURST,
    ANNOUNCES_PER_S,
    DIAL_S,
    LINES_BURST,
    LINES_PER_S,
    MAX_DIALLED,
    MAX_WAITING,
    READER_IDLE_S,
    WRITER_IDLE_S,
    LanSignaling,
)
from myownmesh.signaling.lan_words import Words
from myownmesh.signaling.room import room_handle
from support.probe import identity

if TYPE_CHECKING:
    from trio.testing import MockClock

    from myownmesh.lan.directory import Record
    from myownmesh.protocol.signals import InboundSignal
    from myownmesh.signaling.lan_responder import Responder


ROOM = room_handle("app", "n")


class Failing:
    """A responder that has no way for the first times, and then says no goodbye."""

    networks = (IPv4Network("10.0.0.0/8"),)

    def __init__(self, times: int) -> None:
        self.times = times
        self.attached = 0
        self.advertised = 0

    async def attach(self, _: object) -> None:
        self.attached += 1
        if self.attached <= self.times:
            raise OSError("no multicast here")

    async def advertise(self, *_: object) -> None:
        self.advertised += 1
        if self.advertised == 1:
            raise OSError("not now")

    async def withdraw(self, _: object) -> None:
        raise OSError("the multicast part does not answer")

    detach = moved = withdraw

    def ask(self, questions: object) -> None:
        """There is nobody to ask."""


def now() -> Instant:
    return Instant(trio.current_time(), 1_700_000_000_000)


def driver(responder: Failing) -> LanSignaling:
    return LanSignaling(
        device_id=identity(1).device_id,
        network_id="n",
        app_id="app",
        now=now,
        gate=ContentGate(),
        responder=cast("Responder", responder),
        desk=None,
    )


@pytest.mark.heavy
async def test_it_tries_again_and_ends_in_peace(autojump_clock: MockClock, caplog: pytest.LogCaptureFixture) -> None:
    autojump_clock.autojump_threshold = 0.05  # sockets are real
    responder, ups = Failing(2), list[float]()
    lan = driver(responder)
    lan.on_up = lambda: ups.append(trio.current_time())
    lan.publish(Announce())
    lan.network_moved(offline=True)
    met = [lan.is_met_locally]
    with caplog.at_level(logging.WARNING):
        async with trio.open_nursery() as nursery:
            await nursery.start(lan.run, print)
            with trio.fail_after(math.inf):
                while responder.advertised < 2:
                    await trio.sleep(AGAIN_S / 4)  # each sleep of this clock takes its threshold
            met.append(lan.is_met_locally)
            lan.network_moved(offline=False)
            await trio.sleep(1)
            met.append(lan.is_met_locally)
            lan.publish(StandAside(True))
            met.append(lan.is_met_locally)
            lan.publish(Announce())
            lan.publish(StandAside(False))
            met.append(lan.is_met_locally)
            lan.publish(Leave())
            met.append(lan.is_met_locally)
            lan.publish(Announce())
            await trio.sleep(1)
            nursery.cancel_scope.cancel()
    assert ups
    assert ups[0] >= 2 * AGAIN_S
    assert met == [False, False, True, False, True, False], "opening, offline, well, standing aside, back, left"
    assert not lan.is_met_locally
    assert lan.report() == ()
    told = caplog.text
    assert told.count("no signaling in the local network") == 1
    for what in ("cannot be seen", "cannot be followed", "no goodbye"):
        assert what in told


@pytest.mark.heavy
async def test_whoever_stands_aside_before_there_is_a_way_is_not_seen_once_there_is_one(
    autojump_clock: MockClock,
) -> None:
    autojump_clock.autojump_threshold = 0.05  # sockets are real
    responder, is_up = Failing(1), trio.Event()
    lan = driver(responder)
    lan.on_up = is_up.set
    async with trio.open_nursery() as nursery:
        await nursery.start(lan.run, print)
        lan.publish(StandAside(True))
        await is_up.wait()
        await trio.sleep(2 * AGAIN_S)
        assert responder.advertised == 0
        lan.publish(StandAside(False))
        await trio.sleep(2 * AGAIN_S)
        assert responder.advertised == 2, "the first time failed"
        nursery.cancel_scope.cancel()


def advert(peer: str) -> list[Record]:
    """All records of a device's advert."""
    label = instance_label(ROOM, peer)
    text = txt.encode(txt.entries(ROOM, peer))
    host, name = host_name(label), full_name(label)
    return [Service(name, host, 41_000, 120), Text(name, text, 4500), Address(host, bytes((10, 0, 0, 2)), 120)]


@pytest.mark.heavy
async def test_a_device_that_is_reached_when_we_are_silent_already_is_hung_up_on(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    autojump_clock.autojump_threshold = 0.05
    ours, theirs = trio.testing.memory_stream_pair()

    async def reached(*_: object) -> trio.SocketStream:
        with trio.CancelScope(shield=True):
            await trio.sleep(1)
        return cast("trio.SocketStream", ours)

    lan = driver(Failing(0))
    async with trio.open_nursery() as nursery:
        await nursery.start(lan.run, print)
        await trio.sleep(1)
        monkeypatch.setattr(trio, "open_tcp_stream", reached)
        lan.heard(advert("friend"))
        lan.publish(SendAnswer("friend", "sdp"))
        await trio.sleep(0.5)
        lan.publish(StandAside(True))
        with trio.fail_after(5):
            assert await theirs.receive_some() == b"", "it hears nothing but the end"
        nursery.cancel_scope.cancel()


@pytest.mark.heavy
async def test_what_is_being_dialled_when_the_network_changes_is_dialled_anew(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From an address that is gone nothing comes back, and all that was to be said waited for it."""
    autojump_clock.autojump_threshold = 0.05
    ours, theirs = trio.testing.memory_stream_pair()
    dials: list[float] = []

    async def reached(*_: object) -> trio.SocketStream:
        dials.append(trio.current_time())
        if len(dials) == 1:
            await trio.sleep_forever()
        return cast("trio.SocketStream", ours)

    lan = driver(Failing(0))
    async with trio.open_nursery() as nursery:
        await nursery.start(lan.run, print)
        await trio.sleep(1)
        monkeypatch.setattr(trio, "open_tcp_stream", reached)
        lan.heard(advert("friend"))
        lan.publish(SendAnswer("friend", "sdp"))
        await trio.sleep(DIAL_S / 4)
        lan.network_moved(offline=False)
        lan.publish(SendAnswer("friend", "sdp"))
        got = b""
        with trio.fail_after(DIAL_S):
            while got.count(b"\n") < 2:
                got += await theirs.receive_some()
        assert len(dials) == 2
        nursery.cancel_scope.cancel()


@pytest.mark.heavy
async def test_where_an_advert_leads_nowhere_it_is_answered_on_the_connection_that_spoke(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A device that moved, as v0.3.8 does: its new advert is not heard yet."""
    autojump_clock.autojump_threshold = 0.05

    async def refused(*_: object) -> None:
        raise OSError("nobody listens")

    other, heard = identity(2).device_id, trio.Event()
    line = Words(device_id=other, room=ROOM, gate=ContentGate(), desk=None).announce_to(identity(1).device_id, now())
    lan = driver(Failing(0))
    async with trio.open_nursery() as nursery:
        await nursery.start(lan.run, lambda _: heard.set())
        await trio.sleep(1)
        async with await trio.open_tcp_stream("127.0.0.1", lan.port) as stream:
            monkeypatch.setattr(trio, "open_tcp_stream", refused)
            lan.heard(advert(other))
            heard, got = trio.Event(), b""
            await stream.send_all(line)
            await heard.wait()
            lan.publish(SendAnswer(other, "sdp"))
            with trio.fail_after(10 * DIAL_S):
                while b'"answer"' not in got:
                    got += await stream.receive_some()
        nursery.cancel_scope.cancel()


@pytest.mark.heavy
async def test_a_crowd_is_told_that_we_are_here_a_few_at_a_time(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    autojump_clock.autojump_threshold = 0.05
    dials: list[str] = []

    async def refused(address: str, _: int) -> None:
        dials.append(address)
        await trio.sleep(0.1)
        raise OSError("nobody listens")

    lan = driver(Failing(0))
    async with trio.open_nursery() as nursery:
        await nursery.start(lan.run, print)
        await trio.sleep(1)
        monkeypatch.setattr(trio, "open_tcp_stream", refused)
        for number in range(int(ANNOUNCES_BURST) + MAX_DIALLED):
            lan.heard(advert(f"p{number}"))
        lan.publish(Announce())
        await trio.sleep(0.5)
        assert len(dials) == MAX_DIALLED
        lan.publish(Announce())
        await trio.sleep(0.5)
        assert len(dials) <= MAX_DIALLED + ANNOUNCES_PER_S, "the burst went into the first announce"
        nursery.cancel_scope.cancel()


@pytest.mark.heavy
async def test_of_one_connection_so_many_lines_are_heard_in_a_second(autojump_clock: MockClock) -> None:
    autojump_clock.autojump_threshold = 0.05
    heard: list[InboundSignal] = []
    other = identity(2).device_id
    line = Words(device_id=other, room=ROOM, gate=ContentGate(), desk=None).announce_to(identity(1).device_id, now())
    lan, over = driver(Failing(0)), 20
    async with trio.open_nursery() as nursery:
        await nursery.start(lan.run, heard.append)
        await trio.sleep(1)
        began = trio.current_time()
        async with await trio.open_tcp_stream("127.0.0.1", lan.port) as stream:
            await stream.send_all(line * (int(LINES_BURST) + over))
            while len(heard) < LINES_BURST + over:
                await trio.sleep(0.1)
        assert heard[-1] == PeerAnnounced(other)
        assert trio.current_time() - began >= over / LINES_PER_S
        nursery.cancel_scope.cancel()


@pytest.mark.heavy
async def test_for_a_device_that_is_dialled_so_many_lines_wait(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    autojump_clock.autojump_threshold = 0.05
    ours, theirs = trio.testing.memory_stream_pair()

    async def reached(*_: object) -> trio.SocketStream:
        await trio.sleep(1)
        return cast("trio.SocketStream", ours)

    lan = driver(Failing(0))
    async with trio.open_nursery() as nursery:
        await nursery.start(lan.run, print)
        await trio.sleep(1)
        monkeypatch.setattr(trio, "open_tcp_stream", reached)
        lan.heard(advert("friend"))
        for _ in range(2 * MAX_WAITING):
            lan.publish(SendAnswer("friend", "sdp"))
        await trio.sleep(2)
        for _ in range(2 * MAX_WAITING):
            lan.publish(SendAnswer("friend", "sdp"))
        got = b""
        with trio.move_on_after(5):
            while True:
                got += await theirs.receive_some()
        assert got.count(b"\n") == 2 * MAX_WAITING, "those that waited for the connection, and those for its writer"
        nursery.cancel_scope.cancel()


@pytest.mark.heavy
async def test_silent_strangers_give_their_places_back(autojump_clock: MockClock) -> None:
    autojump_clock.autojump_threshold = 0.05
    lan, heard = driver(Failing(0)), trio.Event()
    line = Words(device_id=identity(2).device_id, room=ROOM, gate=ContentGate(), desk=None)
    async with trio.open_nursery() as nursery:
        await nursery.start(lan.run, lambda _: heard.set())
        await trio.sleep(1)
        strangers = [await trio.open_tcp_stream("127.0.0.1", lan.port) for _ in range(MAX_ACCEPTED_PER_ADDRESS)]
        with trio.fail_after(WRITER_IDLE_S + 1):
            assert await strangers[0].receive_some() == b"", "there is nothing to say to it"
        await trio.sleep(READER_IDLE_S)
        async with await trio.open_tcp_stream("127.0.0.1", lan.port) as stream:
            await stream.send_all(line.announce_to(identity(1).device_id, now()))
            with trio.fail_after(5):
                await heard.wait()
        for stranger in strangers:
            await stranger.aclose()
        nursery.cancel_scope.cancel()
