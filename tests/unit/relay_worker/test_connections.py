"""Clients over time: who answers no ping, who never upgrades, who goes on after the last word."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import pytest

from myownmesh.relay import frames
from myownmesh.relay.client import Limits
from myownmesh.relay.hub import Hub
from myownmesh.relay_worker.connections import (
    HANDSHAKE_LIMIT_S,
    PARTING_S,
    PING_INTERVAL_S,
    PING_LIMIT_S,
    Connections,
)
from myownmesh.signaling.nostr import NostrKey
from myownmesh.worker.loop import READ

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
PONG = b"\x8a\x80" + bytes(4)


class Stage:
    """A loop that calls when it is told to, and a clock that stands still."""

    def __init__(self) -> None:
        self.at = 0.0
        self._ready: dict[int, Callable[[int], None]] = {}
        self._clients: list[socket.socket] = []
        loop: Any = self
        self.connections = Connections(
            Hub(Limits(), NostrKey(b"\x03" * 32)), loop, lambda: self.at, 10, lambda: self.at
        )

    def watch(self, file: socket.socket, ready: Callable[[int], None]) -> None:
        self._ready[file.fileno()] = ready

    def change(self, file: socket.socket, events: int) -> None:
        """Nothing here is ever too much for a socket."""

    def forget(self, file: socket.socket) -> None:
        del self._ready[file.fileno()]

    def client(self) -> socket.socket:
        theirs, ours = socket.socketpair()
        theirs.setblocking(False)
        ours.setblocking(False)
        self._clients.append(theirs)
        self.connections.add(ours, ("192.0.2.1", 1))
        return theirs

    def say(self, client: socket.socket, data: bytes) -> None:
        client.send(data)
        for ready in list(self._ready.values()):
            ready(READ)

    def pass_time(self, seconds: float) -> None:
        self.at += seconds
        self.connections.tick()

    def close(self) -> None:
        self.connections.close_all()
        for each in self._clients:
            each.close()


@pytest.fixture
def stage() -> Iterator[Stage]:
    made = Stage()
    yield made
    made.close()


def heard(client: socket.socket) -> bytes | None:
    """What has come; empty at the end, None when nothing has."""
    try:
        return client.recv(65536)
    except BlockingIOError:
        return None


def upgraded(stage: Stage) -> socket.socket:
    client = stage.client()
    stage.say(client, UPGRADE)
    assert (heard(client) or b"").startswith(b"HTTP/1.1 101 ")
    return client


def test_whoever_answers_pings_stays_and_whoever_does_not_is_told_and_closed(stage: Stage) -> None:
    alive, dead = upgraded(stage), upgraded(stage)
    stage.pass_time(PING_INTERVAL_S)
    assert heard(alive) == heard(dead) == frames.ping_frame()
    stage.say(alive, PONG)
    stage.pass_time(PING_LIMIT_S)
    assert heard(dead) == frames.close_frame()
    assert heard(alive) is None
    assert stage.connections.hub.activity.connections == 1
    stage.pass_time(PING_INTERVAL_S - PING_LIMIT_S)
    assert heard(alive) == frames.ping_frame()
    stage.pass_time(PARTING_S)
    assert heard(dead) == b""
    assert len(stage.connections) == 1


def test_the_time_is_said_and_made_once_a_second(stage: Stage) -> None:
    stage.at = 784887151.2
    said = stage.connections.date()
    assert said == b"Tue, 15 Nov 1994 08:12:31 GMT"
    stage.at += 0.7
    assert stage.connections.date() is said
    stage.at += 0.2
    assert stage.connections.date() == b"Tue, 15 Nov 1994 08:12:32 GMT"


def test_a_handshake_has_its_time(stage: Stage) -> None:
    slow, ready = stage.client(), upgraded(stage)
    stage.say(slow, UPGRADE[:-1])
    stage.pass_time(HANDSHAKE_LIMIT_S - 1)
    assert heard(slow) is None
    stage.pass_time(1)
    assert heard(slow) == b""
    assert heard(ready) is None
    assert len(stage.connections) == 1


def test_whoever_does_not_hang_up_is_hung_up_on(stage: Stage) -> None:
    client = upgraded(stage)
    stage.say(client, b"\x88\x80" + bytes(4))
    assert heard(client) == frames.close_frame()
    assert len(stage.connections) == 1
    stage.pass_time(PARTING_S)
    assert len(stage.connections) == 0


def test_a_client_that_hangs_up_is_forgotten_at_once(stage: Stage) -> None:
    client = upgraded(stage)
    stage.say(client, b"\x88\x80" + bytes(4))
    client.shutdown(socket.SHUT_WR)
    stage.say(upgraded(stage), PONG)
    assert len(stage.connections) == 1


def test_frames_right_behind_the_request_are_read(stage: Stage) -> None:
    client = stage.client()
    stage.say(client, UPGRADE + b"\x89\x80" + bytes(4))
    assert (heard(client) or b"").endswith(b"\r\n\r\n" + frames.pong_frame(b""))
