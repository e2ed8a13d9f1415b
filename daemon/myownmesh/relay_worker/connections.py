"""The relay's clients: sockets around a `Hub`. What one of them costs is bounded, whatever it sends or leaves unread.

Whoever is turned away hears why: what it sends meanwhile is read and thrown away, for a socket that is closed with
something unread answers with a reset, which takes the last words along.
"""

from __future__ import annotations

import socket
import sys
import time
from collections import Counter, deque
from typing import TYPE_CHECKING, Any, Final

from mesh_common.addresses import household_of, is_loopback
from myownmesh.protocol.tokens import TokenBucket
from myownmesh.relay import frames
from myownmesh.relay.client import POLICY_VIOLATION
from myownmesh.relay.frames import BrokenFrames, Incoming
from myownmesh.relay.hub import TOO_MANY_CONNECTIONS
from myownmesh.relay.upgrade import END_OF_HEAD, MAX_HEAD_BYTES, NoUpgrade, begins_well, client_address, read_upgrade
from myownmesh.worker.loop import READ, WRITE

if TYPE_CHECKING:
    from collections.abc import Callable

    from myownmesh.relay.client import Client
    from myownmesh.relay.hub import Hub
    from myownmesh.worker.loop import Loop

HANDSHAKE_LIMIT_S: Final = 10.0
HANDSHAKES_PER_ADDRESS: Final = 64
"""Connections of one address that have not upgraded yet; a proxy on this machine may have any number."""
PING_INTERVAL_S: Final = 30.0
PING_LIMIT_S: Final = 10.0
PARTING_S: Final = 2.0
"""For the last words to go out, and for the other end to hang up."""
PARTING_BYTES: Final = 2**20
"""What is read and thrown away of one that has been turned away and goes on."""
CONTROLS_PER_S: Final = 10.0
CONTROLS_AT_ONCE: Final = 200
"""Pings and pongs of one client; ours asks once in thirty seconds."""
UNFINISHED_BYTES: Final = 64 * 2**20
"""Of messages that have not come whole, all clients together; a message has a few kilobytes, and most come at once."""
TOGETHER_BYTES: Final = 65536
"""Of answers that are sent in one go."""
GOING_AWAY: Final = 1001
TRY_AGAIN_LATER: Final = 1013
_CHUNK: Final = 8192
"""Read at once: the most tiny frames that can be worked on before others have their turn."""


class Connections:
    """All clients of one relay."""

    def __init__(
        self, hub: Hub, loop: Loop, now: Callable[[], float], most: int, wall: Callable[[], float] = time.time
    ) -> None:
        """`now` is monotonic seconds, `wall` Unix time; beyond `most` connections nobody is taken."""
        self.hub = hub
        self.loop = loop
        self.now = now
        self._most = most
        self._wall = wall
        self._date = (0, b"")
        self._all: set[Connection] = set()
        self._handshakes: Counter[str] = Counter()
        self._limits: dict[float, deque[tuple[float, Connection, Callable[[Connection], None]]]] = {}
        """By how long they are: of one length, the one that was set first is over first."""
        self._ended: list[Connection] = []
        self.unfinished = 0

    def __len__(self) -> int:
        return len(self._all)

    def date(self) -> bytes:
        """The time as HTTP says it (RFC 9110 §6.6.1), by which clients know whether their clock is right."""
        second = int(self._wall())
        if self._date[0] != second:  # thousands come back in one second
            self._date = (second, time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(second)).encode())
        return self._date[1]

    def add(self, made: socket.socket, address: tuple[Any, ...]) -> None:
        """A client that has connected."""
        peer = sys.intern(str(address[0]).removeprefix("::ffff:"))  # IPv4, at a listener for both
        household = household_of(peer)
        crowded = self._handshakes[household] >= HANDSHAKES_PER_ADDRESS and not is_loopback(peer)
        if len(self._all) >= self._most or crowded:
            made.close()
            return
        self._handshakes[household] += 1
        connection = Connection(made, peer, self)
        self._all.add(connection)
        self.loop.watch(made, connection.ready)
        self.after(HANDSHAKE_LIMIT_S, connection, Connection.is_late)

    def after(self, seconds: float, connection: Connection, then: Callable[[Connection], None]) -> None:
        """Call `then` in so many seconds and up to one more; whoever is closed by then is not asked."""
        waiting = self._limits.get(seconds)
        if waiting is None:
            waiting = self._limits[seconds] = deque()
        waiting.append((self.now() + seconds, connection, then))

    def tick(self) -> None:
        """Due a few times in a second."""
        now = self.now()
        for waiting in list(self._limits.values()):
            while waiting and waiting[0][0] <= now:
                _, connection, then = waiting.popleft()
                if connection in self._all:
                    then(connection)
        self.end()

    def upgraded(self, peer: str) -> None:
        """One of its handshakes is over."""
        household = household_of(peer)
        self._handshakes[household] -= 1
        if not self._handshakes[household]:
            del self._handshakes[household]

    def ending(self, connection: Connection) -> None:
        """Its client is turned away: as soon as the hub has done what it is at."""
        self._ended.append(connection)

    def end(self) -> None:
        """Part with those whom the hub has turned away meanwhile."""
        while self._ended:
            connection = self._ended.pop()
            assert connection.client is not None
            assert connection.client.ended is not None
            connection.part(*connection.client.ended)

    def close(self, connection: Connection) -> None:
        if connection in self._all:
            self._all.remove(connection)
            self.loop.forget(connection.socket)
            connection.socket.close()

    def part_with_all(self) -> None:
        """Every client hears that the relay is going away."""
        for connection in list(self._all):
            connection.part(GOING_AWAY)

    def close_all(self) -> None:
        """Whoever has not hung up by now."""
        for connection in list(self._all):
            self.close(connection)


class Connection:
    """One of them: it asks for a WebSocket, then it is a client of the hub, and at last it is on its way out."""

    __slots__ = (
        "_all",
        "_controls",
        "_head",
        "_incoming",
        "_is_answering",
        "_parting",
        "_peer",
        "_pinged",
        "_rest",
        "client",
        "socket",
    )

    def __init__(self, made: socket.socket, peer: str, everyone: Connections) -> None:
        self.socket = made
        self.client: Client | None = None
        """While it is one."""
        self._all = everyone
        self._peer = peer
        self._head: bytes | None = b""
        """What has come of the request; None when the handshake is over."""
        self._incoming: Incoming | None = None
        self._controls: TokenBucket | None = None
        """Most clients ask for nothing."""
        self._rest = b""
        """What the socket has not taken yet. While there is some, the rest waits in the client."""
        self._is_answering = False
        self._pinged = False
        self._parting: int | None = None
        """Bytes that may be read and thrown away still, once it has been turned away."""

    def ready(self, events: int) -> None:
        """The socket can be read or written."""
        try:
            if events & WRITE and self._rest:
                self._write(b"")
            if events & READ:
                data = self.socket.recv(_CHUNK)
                if not data:
                    self._is_gone()
                elif self._parting is not None:
                    self._throw_away(len(data))
                elif self._head is not None:
                    self._shake_hands(self._head + data)
                else:
                    self._take(data)
        except BlockingIOError:
            pass
        except OSError:
            self._is_gone()
        self._all.end()

    # ── in ────────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _shake_hands(self, head: bytes) -> None:
        self._head = head
        text, blank, begun = head.partition(END_OF_HEAD)
        if not blank and len(head) <= MAX_HEAD_BYTES and begins_well(head):
            return
        try:
            if not blank or len(text) > MAX_HEAD_BYTES:
                raise NoUpgrade
            upgrade = read_upgrade(text, self._all.date())
        except NoUpgrade:
            self._is_gone()
            return
        self._head = None
        everyone, now = self._all, self._all.now()
        everyone.upgraded(self._peer)
        self._incoming = Incoming()
        client = everyone.hub.connect(household_of(client_address(self._peer, upgrade.forwarded_for)), now)
        if client is None:
            self._write(upgrade.answer + TOO_MANY_CONNECTIONS)
            self.part()
            return
        self.client = client
        client.outlet = self
        self._is_answering = True
        client.send(upgrade.answer)
        everyone.after(PING_INTERVAL_S, self, Connection.ping)
        self._take(begun)

    def _take(self, data: bytes) -> None:
        incoming, client, hub = self._incoming, self.client, self._all.hub
        assert incoming is not None
        assert client is not None
        now, held = self._all.now(), incoming.held
        self._is_answering = True
        try:
            for opcode, payload in incoming.feed(data):
                if opcode == frames.TEXT:
                    hub.receive(client, payload, now)
                elif opcode == frames.BINARY:
                    hub.receive(client, b"", now)  # no part of the protocol; it costs what any useless text costs
                else:
                    self._control(opcode, payload, now)
                if client.ended is not None or self._parting is not None:
                    break
        except BrokenFrames as error:
            self.part(error.code, error.reason)
        self._is_answering = False
        self.has_output()
        self._all.unfinished += incoming.held - held
        if self._all.unfinished > UNFINISHED_BYTES and incoming.held > _CHUNK:
            self.part(TRY_AGAIN_LATER, "too much has not come whole")

    def _control(self, opcode: int, payload: bytes, now: float) -> None:
        assert self.client is not None
        if opcode == frames.CLOSE:
            self.part(*((int.from_bytes(payload[:2], "big"),) if payload else ()))
        elif opcode == frames.PONG and self._pinged:
            self._pinged = False
        else:
            if self._controls is None:
                self._controls = TokenBucket(CONTROLS_PER_S, CONTROLS_AT_ONCE, now)
            if not self._controls.take(now):
                self.part(POLICY_VIOLATION, "too many pings")
            elif opcode == frames.PING:
                self.client.send(frames.pong_frame(payload))

    # ── out ───────────────────────────────────────────────────────────────────────────────────────────────────────────

    def has_output(self) -> None:
        """The client has something to send. Its answers to what came together go together."""
        client = self.client
        if client is None or self._rest or (self._is_answering and client.waiting < TOGETHER_BYTES):
            return
        self._write(client.take_output())

    def takes(self, frame: bytes) -> bool:
        """What most deliveries are: nothing waits, and the socket takes it whole."""
        if self._is_answering or self._rest:
            return False
        try:
            sent = self.socket.send(frame)
        except OSError:
            return False  # `_write` meets the same
        if sent < len(frame):
            self._wait_for_room(frame[sent:])
        return True

    def _wait_for_room(self, rest: bytes) -> None:
        if not self._rest:
            self._all.loop.change(self.socket, READ | WRITE)
        self._rest = rest

    def _write(self, data: bytes) -> None:
        """Send it behind what waits. Never raises: who brought this may be another client."""
        while data := self._rest + data:
            try:
                sent = self.socket.send(data)
            except BlockingIOError:
                sent = 0
            except OSError:
                self._rest = b""  # the loop finds it broken, and closes it
                return
            if sent < len(data):
                self._wait_for_room(data[sent:])
                return
            if self._rest:
                self._rest = b""
                self._all.loop.change(self.socket, READ)
            data = b"" if self.client is None else self.client.take_output()
        if self._parting is not None:
            self._shut()

    # ── its end ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def ping(self) -> None:
        """It is alive if it answers."""
        if self.client is None or self._parting is not None:
            return
        self._pinged = True
        self.client.send(frames.ping_frame())
        self._all.after(PING_LIMIT_S, self, Connection._should_have_answered)

    def _should_have_answered(self) -> None:
        if self._pinged:
            self.part()
        else:
            self._all.after(PING_INTERVAL_S - PING_LIMIT_S, self, Connection.ping)

    def is_late(self) -> None:
        """The time for its handshake is over."""
        if self._head is not None:
            self._is_gone()

    def has_ended(self) -> None:
        """The hub turns it away."""
        self._all.ending(self)

    def part(self, code: int | None = None, reason: str = "") -> None:
        """Say Close, and hang up when the other end has, or after a while."""
        if self._parting is not None or self._head is not None:
            return
        waiting = b"" if self.client is None else self.client.take_output()
        self._leave()
        self._parting = PARTING_BYTES
        self._all.after(PARTING_S, self, Connection._is_gone)
        self._write(waiting + frames.close_frame(code, reason))

    def _shut(self) -> None:
        """The last words are out."""
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            self._is_gone()

    def _throw_away(self, count: int) -> None:
        assert self._parting is not None
        self._parting -= count
        if self._parting < 0:
            self._is_gone()

    def _leave(self) -> None:
        """It is no client any more."""
        if self._incoming is not None:
            self._all.unfinished -= self._incoming.held
            self._incoming = None
        if self.client is not None:
            self._all.hub.disconnect(self.client, self._all.now())
            self.client = None

    def _is_gone(self) -> None:
        if self._head is not None:
            self._head = None
            self._all.upgraded(self._peer)
        self._leave()
        self._all.close(self)
