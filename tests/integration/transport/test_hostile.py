"""Strangers on the socket, and peers that misbehave inside of DTLS; honest traffic notices nothing."""

from __future__ import annotations

import gc
import random
import socket
import struct
from typing import TYPE_CHECKING, Any

import trio
from google_crc32c import value as crc32c

from integration.transport.pairs import Pair, guest_test
from myownmesh.engine.links import ChannelClosed, ChannelOpened, LocalDescription, PathState
from myownmesh.protocol.signals import Candidate
from myownmesh.transport import sdp
from myownmesh.transport.addresses import MAX_HOST_ADDRESSES
from myownmesh.transport.candidates import parse_candidate
from myownmesh.transport.lean_imports import data_channels_only

with data_channels_only():
    import aioice

    from myownmesh.transport.dtls import DtlsLink

if TYPE_CHECKING:
    import pytest

    from integration.transport.pairs import End
    from myownmesh.transport.session import SessionFactory


def host_ports(end: End) -> list[tuple[str, int]]:
    candidates = [parse_candidate(line) for line in sdp.parse(end.all(LocalDescription)[0].sdp).candidates]
    return [(c.host, c.port) for c in candidates if c is not None and ":" not in c.host]


def shout(targets: list[tuple[str, int]], rng: random.Random) -> None:
    """Every first byte, random rest; also STUN headers and DTLS records with lying lengths."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        for target in targets:
            for first in range(256):
                stranger.sendto(bytes([first]) + rng.randbytes(rng.randrange(0, 1_400)), target)
            stranger.sendto(b"", target)
            for kind in (20, 21, 22, 23):
                for version in (0xFEFD, 0xFEFF, 0x0303):
                    for length in (0, 1, 40, 60_000):
                        record = struct.pack("!BHHHLH", kind, version, rng.randrange(3), 0, rng.randrange(9), length)
                        stranger.sendto(record + rng.randbytes(40), target)
            stranger.sendto(struct.pack("!BHHHLHBB", 21, 0xFEFD, 0, 0, 7, 2, 2, 0), target)  # close_notify in clear
            for kind in (0x0001, 0x0101, 0x0111, 0x0011, 0x0003):
                for length in (0, 4, 500):
                    head = struct.pack("!HHL", kind, length, 0x2112A442)
                    stranger.sendto(head + rng.randbytes(12) + rng.randbytes(length), target)


@guest_test
async def test_strangers_on_the_socket(factory: SessionFactory) -> None:
    rng = random.Random(3)
    pair = Pair(factory)
    pair.a.session.make_offer()
    await pair.a.event(LocalDescription)
    shout(host_ports(pair.a), rng)
    await pair.a.event(ChannelOpened)
    await pair.b.event(ChannelOpened)
    for end in (pair.a, pair.b):
        shout(host_ports(end), rng)
    await trio.sleep(0.05)
    await pair.check_traffic()
    for end in (pair.a, pair.b):
        assert end.path is PathState.CONNECTED
        assert not end.all(ChannelClosed)


@guest_test
async def test_a_peer_that_sends_garbage_inside_of_dtls(
    factory: SessionFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = random.Random(5)
    pair = Pair(factory)
    await pair.connect()
    with monkeypatch.context() as patch:
        used: list[tuple[DtlsLink, bytes]] = []
        send_record = DtlsLink.send_record
        patch.setattr(DtlsLink, "send_record", lambda link, data: (used.append((link, data)), send_record(link, data)))
        pair.a.session.send(b"shows the link and the tag of b")
        await pair.b.frames_until(1)
    dtls, packet = used[0]
    tag = int.from_bytes(packet[4:8], "big")
    for _ in range(300):
        dtls.send_record(rng.randbytes(rng.randrange(0, 1_100)))
        kind = rng.choice((1, 2, 4, 5, 9, 10, 11, 130, 192, 200))
        body = struct.pack("!HHLL", 5000, 5000, rng.choice((0, tag)), 0)
        body += struct.pack("!BBH", kind, 0, rng.randrange(4, 60)) + rng.randbytes(56)
        dtls.send_record(body[:8] + struct.pack("<L", crc32c(body)) + body[12:])
    await trio.sleep(0.05)
    await pair.check_traffic()
    assert not pair.b.all(ChannelClosed)


@guest_test
async def test_frames_before_the_answer_of_a_person_are_the_engines_business(factory: SessionFactory) -> None:
    """The transport delivers what comes, also a flood, and stays responsive."""
    pair = Pair(factory)
    await pair.connect()
    for n in range(2_000):
        pair.a.session.send(b"%d" % n)
    started = trio.current_time()
    pair.b.session.send(b"one of mine")
    await pair.a.frames_until(1)
    assert trio.current_time() - started < 1.0
    await pair.b.frames_until(2_000)
    assert pair.b.frames == [b"%d" % n for n in range(2_000)]


@guest_test
async def test_sessions_may_be_closed_from_within_their_callbacks(factory: SessionFactory) -> None:
    for closing in ("frame", "opened", "description"):
        pair = Pair(factory)
        if closing == "frame":
            pair.b.on_frame = lambda data, pair=pair: pair.b.session.close()
            await pair.connect()
            for _ in range(10):
                pair.a.session.send(bytes(2_000))
            await pair.a.event(ChannelClosed)
            assert len(pair.b.frames) == 1
            continue
        kind = ChannelOpened if closing == "opened" else LocalDescription
        carry = pair.b.signal

        def signal(event: Any, pair: Pair = pair, kind: type = kind, carry: Any = carry) -> None:
            carry(event)
            if isinstance(event, kind):
                pair.b.session.close()

        pair.b.signal = signal
        pair.a.session.make_offer()
        await pair.b.event(kind)
        events = len(pair.b.events)
        await trio.sleep(0.05)
        assert len(pair.b.events) == events
        pair.a.session.close()


@guest_test
async def test_candidates_that_point_everywhere_are_bounded(factory: SessionFactory) -> None:
    pair = Pair(factory)
    await pair.connect()
    for n in range(5_000):
        pair.b.session.add_candidate(Candidate(f"candidate:1 1 udp 1 10.{n % 250}.{n // 250}.9 9 typ host"))
        pair.b.session.add_candidate(Candidate(f"candidate:1 1 udp 1 name{n}.local 9 typ host"))
    kept = sum(isinstance(thing, aioice.Candidate) for thing in gc.get_objects())
    assert kept <= 2 * 64 + 2 * 2 * MAX_HOST_ADDRESSES
    await pair.check_traffic()
