"""How long a connection may stay: moments are literal, sockets a pair of this process."""

from __future__ import annotations

import socket
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from myownmesh.protocol.clock import Instant
from myownmesh.turn_worker import streams
from myownmesh.turn_worker.streams import Stream
from myownmesh.worker.loop import READ, WRITE, Loop
from myownmesh.worker.sockets import open_stream_listener

if TYPE_CHECKING:
    from collections.abc import Iterator

Pair = tuple[Stream, socket.socket, Loop]


@pytest.fixture
def pair() -> Iterator[Pair]:
    mine, theirs = socket.socketpair()
    loop = Loop()
    with mine, theirs:
        mine.setblocking(False)
        stream = Stream(mine, ("192.0.2.1", 1, "tcp", 1), "192.0.2.1", loop, 100.0)
        loop.watch(mine, lambda events: None)
        yield stream, theirs, loop
        loop.close()


def test_without_an_allocation_it_has_half_a_minute(pair: Pair) -> None:
    stream, _, _ = pair
    assert not stream.is_over(130.0, served=False)
    stream.heard(129.0)
    assert stream.is_over(130.1, served=False)


def test_with_one_it_has_ten_minutes_of_silence(pair: Pair) -> None:
    stream, _, _ = pair
    for at in (150, 400, 700):
        assert not stream.is_over(float(at), served=True)
    assert stream.is_over(700.1, served=True)
    stream.heard(700.0)
    assert not stream.is_over(1300.0, served=True)
    assert not stream.is_over(1300.0, served=False), "its allocation has ended just now"


def test_a_half_frame_has_half_a_minute_however_slowly_it_grows(pair: Pair) -> None:
    stream, _, _ = pair
    for at in range(101, 131, 5):
        assert list(stream.frames.feed(b"\x40\x00\x00\x50" if at == 101 else b"x")) == []
        stream.noted(float(at))
        assert not stream.is_over(float(at), served=True)
    assert stream.is_over(131.1, served=True)
    assert list(stream.frames.feed(bytes(100)))
    stream.heard(132.0)
    stream.noted(132.0)
    assert not stream.is_over(160.0, served=True), "what follows has its own time"


def test_of_whoever_does_not_read_nothing_is_read_and_little_is_kept(pair: Pair) -> None:
    stream, theirs, loop = pair
    frame = b"\x40\x00\x03\xfc" + bytes(1020)
    for _ in range(5000):
        stream.send(frame)
    assert stream.queued <= 256 << 10
    assert loop.events_of(stream.socket) == WRITE
    theirs.sendall(b"\x40\x00\x00\x00")
    assert stream.read() == b""
    got = 0
    theirs.setblocking(False)
    while loop.events_of(stream.socket) != READ:
        got += len(theirs.recv(1 << 20))
        stream.advance(WRITE)
    assert stream.read() == b"\x40\x00\x00\x00"
    assert got >= 256 << 10
    assert (got + len(theirs.recv(1 << 20))) % len(frame) == 0, "frames are dropped whole"


def test_a_connection_that_broke_while_it_was_sent_to_stays_quiet(pair: Pair) -> None:
    stream, theirs, _ = pair
    theirs.close()
    stream.send(bytes(4))
    stream.send(bytes(4))
    assert stream.read() == b""
    assert stream.has_ended


def test_ipv4_clients_of_a_listener_for_both_families_are_no_one_household(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them are `::ffff:…` there, in one /64. What a proxy on this machine brings is not bounded together."""
    monkeypatch.setattr(streams, "MOST_PER_HOUSEHOLD", 1)
    loop = Loop()
    everybody = streams.Streams(loop, lambda _stream, _frame, _now: None, lambda _client: None, lambda _client: False)
    with ExitStack() as opened:
        listener = opened.enter_context(open_stream_listener("::", 0))
        everybody.listen(listener, None)
        port = listener.getsockname()[1]
        for number in (2, 3, 3):
            source = (f"127.0.0.{number}", 0)
            opened.enter_context(socket.create_connection(("127.0.0.1", port), 5, source_address=source))
        loop.run(lambda _now: loop.end(), lambda: 0.2)
        assert len(everybody) == 3
        everybody.tick(Instant(time.monotonic() + 31, 0))
        assert len(everybody) == 0
    loop.close()
