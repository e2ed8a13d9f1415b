"""Clients over TCP and TLS (spec 06 §8): frames in, frames out, and nobody who holds a connection for nothing."""

from __future__ import annotations

import ssl
from collections import Counter, deque
from typing import TYPE_CHECKING, Final

from mesh_common.addresses import household_of, is_loopback
from myownmesh.turn.binding import address_of
from myownmesh.turn.framing import BadFrame, Frames, framed
from myownmesh.worker.listeners import Listeners
from myownmesh.worker.loop import READ, WRITE, instant

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from myownmesh.protocol.clock import Instant
    from myownmesh.turn.binding import Client
    from myownmesh.turn_worker.certificates import Certificates
    from myownmesh.worker.loop import Loop

HANDSHAKE_S: Final = 10.0
UNSERVED_S: Final = 30.0
"""How long a connection without an allocation may stay, and a frame may take from its first byte to its last."""
IDLE_S: Final = 600.0
MOST: Final = 2048
MOST_PER_HOUSEHOLD: Final = 512
"""As many as allocations; a proxy on this machine may have any number."""
_QUEUE_BYTES: Final = 256 << 10
"""Behind a client that reads slowly; what does not fit is dropped, as it would be on the way to it by UDP. From half
of it on, nothing is read of a client either: whoever does not listen gets no answers, and so asks no more."""
_CHUNK: Final = 16384
"""Read at once: eight hundred of the smallest frames, then others have their turn. No TLS record is longer."""


class Streams:
    """All connections of one worker."""

    def __init__(
        self,
        loop: Loop,
        receive: Callable[[Stream, bytes, Instant], None],
        gone: Callable[[Client], None],
        is_served: Callable[[Client], bool],
    ) -> None:
        """`receive` gets each frame, `gone` each client that has left; `is_served` tells who has an allocation."""
        self._loop = loop
        self._receive = receive
        self._gone = gone
        self._is_served = is_served
        self._streams: set[Stream] = set()
        self._households: Counter[object] = Counter()
        self._listeners = Listeners(loop)
        self._serial = 0

    def __len__(self) -> int:
        return len(self._streams)

    def listen(self, listener: socket.socket, certificates: Certificates | None) -> None:
        """Take connections; with `certificates` they speak TLS."""
        self._listeners.listen(listener, lambda made, address: self._add(made, address, certificates))

    def tick(self, now: Instant) -> None:
        """Close who has been silent, unserved or amid one frame for too long. Due once a second."""
        for stream in [each for each in self._streams if each.is_over(now.mono, served=self._is_served(each.client))]:
            self.close(stream)
        self._listeners.resume()

    def close(self, stream: Stream) -> None:
        if stream not in self._streams:
            return
        self._streams.remove(stream)
        self._households[stream.household] -= 1
        if not self._households[stream.household]:
            del self._households[stream.household]
        self._loop.forget(stream.socket)
        stream.socket.close()
        self._gone(stream.client)

    def _add(self, made: socket.socket, address: tuple[object, ...], certificates: Certificates | None) -> None:
        ip, _ = address_of(address)
        household = household_of(ip)
        crowded = self._households[household] >= MOST_PER_HOUSEHOLD and not is_loopback(ip)
        if len(self._streams) >= MOST or crowded:
            made.close()
            return
        if certificates is not None:
            try:
                made = certificates.context.wrap_socket(made, server_side=True, do_handshake_on_connect=False)
            except OSError:  # gone already
                made.close()
                return
        self._serial += 1
        client = (address[0], address[1], "tls" if certificates else "tcp", self._serial)
        stream = Stream(made, client, household, self._loop, instant().mono)
        self._streams.add(stream)
        self._households[household] += 1
        self._loop.watch(made, lambda events: self._ready(stream, events))

    def _ready(self, stream: Stream, events: int) -> None:
        try:
            stream.advance(events)
            data = stream.read()
        except (OSError, ValueError):  # ValueError: a TLS socket that broke while it was written to
            self.close(stream)
            return
        now = instant()
        try:
            for frame in stream.frames.feed(data):
                stream.heard(now.mono)
                self._receive(stream, frame, now)
        except BadFrame:
            self.close(stream)
            return
        stream.noted(now.mono)
        if stream.has_ended:
            self.close(stream)


class Stream:
    """One connection."""

    def __init__(self, made: socket.socket, client: Client, household: object, loop: Loop, now: float) -> None:
        self.socket = made
        self.client = client
        self.household = household
        self.frames = Frames()
        self.has_ended = False
        self._loop = loop
        self._shakes_hands = isinstance(made, ssl.SSLSocket)
        self._queue: deque[bytes] = deque()
        self.queued = 0
        """Bytes that wait to be sent."""
        self._events = READ
        self._since = self._active = now
        self._amid_since: float | None = None

    def is_over(self, now: float, *, served: bool) -> bool:
        """Whether it has had its time."""
        if self._shakes_hands:
            return now - self._since > HANDSHAKE_S
        if self._amid_since is not None and now - self._amid_since > UNSERVED_S:
            return True
        if served:
            self._since = now
        return now - self._since > UNSERVED_S or now - self._active > IDLE_S

    def heard(self, now: float) -> None:
        self._active = now
        self._amid_since = None

    def noted(self, now: float) -> None:
        """Some bytes came: from the first of a frame on, its time runs."""
        if not self.frames.is_amid:
            self._amid_since = None
        elif self._amid_since is None:
            self._amid_since = now

    def advance(self, events: int) -> None:
        """Go on with the handshake and with what waits to be sent. Raises OSError."""
        if self._shakes_hands and isinstance(self.socket, ssl.SSLSocket):
            try:
                self.socket.do_handshake()
            except ssl.SSLWantReadError:
                self._want(READ)
            except ssl.SSLWantWriteError:
                self._want(WRITE)
            else:
                self._shakes_hands = False
                self._want(READ)
        elif events & WRITE:
            self._flush()

    def read(self) -> bytes:
        """What has come. Raises OSError."""
        if self._shakes_hands or self.queued > _QUEUE_BYTES // 2:
            return b""
        try:
            data = self.socket.recv(_CHUNK)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return b""
        self.has_ended = not data
        return data

    def send(self, data: bytes) -> None:
        """A frame to the client; dropped when too much waits in front of it. Never raises."""
        wire = framed(data)
        if self.queued + len(wire) > _QUEUE_BYTES:
            return
        self._active = instant().mono
        self._queue.append(wire)
        self.queued += len(wire)
        if len(self._queue) > 1:
            self._want_rest()
        else:
            try:
                self._flush()
            except (OSError, ValueError):
                # Whoever sent this may be another client: the loop closes the connection when it finds it broken.
                self._drop()

    def _flush(self) -> None:
        while self._queue:
            try:
                sent = self.socket.send(self._queue[0])
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                break
            self.queued -= sent
            if sent == len(self._queue[0]):
                self._queue.popleft()
            else:
                self._queue[0] = self._queue[0][sent:]
        self._want_rest()

    def _drop(self) -> None:
        self._queue.clear()
        self.queued = 0
        self._want(READ)

    def _want_rest(self) -> None:
        reading = READ if self.queued <= _QUEUE_BYTES // 2 else 0
        self._want(reading | WRITE if self._queue else READ)

    def _want(self, events: int) -> None:
        if events != self._events:
            self._events = events
            self._loop.change(self.socket, events)
