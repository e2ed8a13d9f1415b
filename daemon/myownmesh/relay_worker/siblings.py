"""The processes of one relay on one machine: each says everything to each other one, over Unix sockets.

A connection goes one way. Nothing is kept for a sibling that is away: whoever comes asks for everything, as does
whoever finds by a number that something is missing. One that does not read is parted from.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from myownmesh.cluster.entries import MAX_BATCH_BYTES
from myownmesh.worker.loop import READ, WRITE
from myownmesh.worker.sockets import BACKLOG, CannotListen

if TYPE_CHECKING:
    from collections.abc import Callable

    from myownmesh.cluster.cluster import Cluster
    from myownmesh.relay_worker import messages
    from myownmesh.worker.loop import Loop

UNREAD_BYTES: Final = 8 * 2**20
"""What waits for a sibling that does not read."""
RETRY_S: Final = 0.5
"""A sibling that was killed is started again within about a second."""
_CHUNK: Final = 65536
_LENGTH: Final = 4


class Siblings:
    """All of them, as one of them sees them."""

    def __init__(self, job: messages.Siblings, cluster: Cluster, loop: Loop, now: Callable[[], float]) -> None:
        """Raises `CannotListen`."""
        self._cluster = cluster
        self._loop = loop
        self._now = now
        self._retry_at = now()
        self._listener = _listener(place(job.folder, job.own))
        self._ways = [Way(place(job.folder, each), loop) for each in range(job.count) if each != job.own]
        self._heard: set[socket.socket] = set()
        loop.watch(self._listener, self._accept)
        cluster.on_outgoing = partial(self._loop.soon, self._say)
        cluster.joined(now())

    def next_timer(self) -> float:
        """When `tick` has something to do at the latest."""
        beat = self._cluster.next_beat()
        return beat if all(way.is_open for way in self._ways) else min(beat, self._retry_at)

    def tick(self, now: float) -> None:
        """Due at `next_timer`, and at any other time."""
        if now >= self._retry_at:
            self._retry_at = now + RETRY_S
            for way in self._ways:
                way.open()
        if self._cluster.is_beat_due(now):
            self._send(self._cluster.take_beat())

    def close(self) -> None:
        self._say()
        for way in self._ways:
            way.close()
        for made in list(self._heard):
            self._part(made)
        self._loop.forget(self._listener)
        self._listener.close()

    def _say(self) -> None:
        """What came up in one turn of the loop is said together."""
        while (batch := self._cluster.take_batch(self._now())) is not None:
            self._send(batch)

    def _send(self, batch: bytes) -> None:
        framed = len(batch).to_bytes(_LENGTH, "big") + batch
        for way in self._ways:
            way.send(framed)

    # ── what they say ─────────────────────────────────────────────────────────────────────────────────────────────────

    def _accept(self, _events: int) -> None:
        try:
            made, _ = self._listener.accept()
        except OSError:
            return  # it has gone again
        made.setblocking(False)
        self._heard.add(made)
        self._loop.watch(made, partial(self._read, made, bytearray()))

    def _read(self, made: socket.socket, held: bytearray, _events: int) -> None:
        try:
            data = made.recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        held += data
        while len(held) >= _LENGTH:
            end = _LENGTH + int.from_bytes(held[:_LENGTH], "big")
            if end > _LENGTH + MAX_BATCH_BYTES:
                data = b""
                break
            if len(held) < end:
                break
            batch = bytes(held[_LENGTH:end])
            del held[:end]
            self._cluster.take(batch, self._now())
        if not data:
            self._part(made)

    def _part(self, made: socket.socket) -> None:
        self._heard.remove(made)
        self._loop.forget(made)
        made.close()


class Way:
    """To one sibling."""

    def __init__(self, place: Path, loop: Loop) -> None:
        self._place = str(place)
        self._loop = loop
        self._socket: socket.socket | None = None
        self._waiting = bytearray()

    @property
    def is_open(self) -> bool:
        return self._socket is not None

    def open(self) -> None:
        """If it is not, and somebody is there."""
        if self._socket is not None:
            return
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        made.setblocking(False)
        try:
            made.connect(self._place)
        except OSError:
            made.close()  # it is tried again
            return
        self._socket = made
        self._loop.watch(made, self._ready)

    def send(self, framed: bytes) -> None:
        if self._socket is None:
            return
        is_stuck = bool(self._waiting)
        self._waiting += framed
        if len(self._waiting) > UNREAD_BYTES:
            self.close()
        elif not is_stuck:
            self._flush()

    def close(self) -> None:
        if self._socket is not None:
            self._loop.forget(self._socket)
            self._socket.close()
            self._socket = None
            self._waiting.clear()

    def _ready(self, events: int) -> None:
        if events & READ:
            self.close()  # it says nothing here, so it has gone
        else:
            self._flush()

    def _flush(self) -> None:
        assert self._socket is not None
        was_stuck = self._loop.events_of(self._socket) != READ
        try:
            sent = self._socket.send(self._waiting)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.close()
            return
        del self._waiting[:sent]
        if was_stuck is not bool(self._waiting):
            self._loop.change(self._socket, READ | WRITE if self._waiting else READ)


def place(folder: str, number: int) -> Path:
    """Where one of them listens."""
    return Path(folder) / f"{number}.sock"


def _listener(own: Path) -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with suppress(FileNotFoundError):
            own.unlink()  # of a process that was killed
        made.bind(str(own))
        made.listen(BACKLOG)
        made.setblocking(False)
    except OSError as error:
        made.close()
        raise CannotListen(error.errno, f"cannot listen on {own}: {error.strerror or error}") from error
    return made
