"""The process that faces strangers for STUN and TURN: a socket for all clients, one per allocation, and streams.

`myownmesh turn-worker` is started by the daemon, reads its job from stdin and later whose passwords are good, says what
becomes of it on stdout, and ends when stdin is closed, so that it never outlives the daemon.
"""

from __future__ import annotations

import os
import secrets
import sys
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from msgspec.structs import replace

from myownmesh.transport.interfaces import machine_addresses
from myownmesh.turn.binding import BindingServer
from myownmesh.turn.framing import CHANNEL_DATA
from myownmesh.turn.server import TurnServer
from myownmesh.turn_worker import messages, sockets
from myownmesh.turn_worker.bursts import Burst, send
from myownmesh.turn_worker.certificates import Certificates
from myownmesh.turn_worker.streams import MOST, Stream, Streams
from myownmesh.worker.descriptors import raise_limit
from myownmesh.worker.lingering import Lingering
from myownmesh.worker.loop import Loop, best_poller, instant
from myownmesh.worker.messages import (
    CHUNK_BYTES,
    Listening,
    Refused,
    first_line,
    leave_signals_to_the_daemon,
    say,
)
from myownmesh.worker.sockets import CannotListen, open_stream_listener

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence

    from myownmesh.protocol.clock import Instant
    from myownmesh.turn.binding import Client
    from myownmesh.turn_worker.messages import Job, Said

BATCH: Final = 64
"""Datagrams of one socket before others have their turn."""
DATAGRAM_BYTES: Final = 1600
"""A little more than what is relayed at most, so that what is cut is seen to be too long (spec 06 §7.2)."""
LOOK_AGAIN: Final = 8
"""Callbacks with a single datagram, after which `NO_SECOND` ask for no other one; then one is asked for once."""
NO_SECOND: Final = 32
IDLE_TICK_S: Final = 5.0
OWN_DESCRIPTORS: Final = 128
"""For the sockets that all clients come to, one for each address, and what else a process has open."""


class Worker:
    """Everything between the job and the end of one process."""

    def __init__(self, job: Job, say: Callable[[Said], None]) -> None:
        """Raises OSError with a sentence when it cannot serve."""
        self._job = job
        self._say = say
        self._loop = Loop(Lingering(best_poller()))
        self._relays: dict[int, Relay] = {}
        self._relay_ports = sockets.window(*job.relay_ports)
        self._cursor = 0
        self._burst = Burst()
        self._turn: TurnServer | None = None
        if job.turn is not None:
            self._turn = TurnServer(job.turn, self, secrets.token_bytes(32), job.limits)
        self._server: TurnServer | BindingServer = self._turn or BindingServer(job.limits)
        self._said: Said | None = None
        self._streams = Streams(self._loop, self._frame, self._gone, self._is_served)
        self._certificates = None if job.tls is None else Certificates(job.tls)
        self._udp, listeners = _open(job)
        self._problem: str | None = None
        for one in self._udp.sockets.values():
            self._watch_udp(one)
        for listener in listeners:
            self._streams.listen(listener, None)
        tls_port = None
        if job.tls is not None:
            listener = open_stream_listener(job.bind, job.tls.port)
            tls_port = listener.getsockname()[1]
            self._streams.listen(listener, self._certificates)
        self._listening = Listening(self._udp.host, self._udp.port, tls_port)

    def run(self, commands: int, begun: bytes = b"") -> None:
        """Serve until the pipe `commands` is closed; `begun` is what was read of it behind the job."""
        self._begun = b""
        self._take(begun)
        self._loop.watch(commands, partial(self._on_commands, commands))
        self._look_around()
        self._say(self._listening)
        self._report()
        self._loop.run(self._tick, self._pause_s)
        self._udp.close(list(self._udp.sockets.values()))
        self._loop.close()

    # ── ports, for the TURN server ────────────────────────────────────────────────────────────────────────────────────

    def open(self, client: Client, *, even: bool) -> int | None:
        window: Sequence[int] = self._relay_ports
        if window:
            at = self._cursor % len(window)
            window = [*window[at:], *window[:at]]
        assert self._job.turn is not None
        made = sockets.open_relay(window, even=even, told=self._job.turn.public_ip)
        if made is None:
            return None
        port: int = made.getsockname()[1]
        if window:
            self._cursor = self._relay_ports.index(port) + 1
        amid = self._amid
        assert amid is not None
        if isinstance(amid, Stream):
            relay = Relay(made, port, client, stream=amid)
        else:
            relay = Relay(made, port, client, udp=amid)
        self._relays[port] = relay
        self._loop.watch(made, partial(self._on_relay, relay))
        return port

    def close(self, port: int) -> None:
        self._burst.flush()
        relay = self._relays.pop(port)
        self._loop.forget(relay.socket)
        relay.socket.close()

    # ── what comes in ─────────────────────────────────────────────────────────────────────────────────────────────────

    _amid: Stream | socket.socket | None = None
    """Where what is being served came in."""

    def _watch_udp(self, one: socket.socket) -> None:
        self._loop.watch(one, partial(self._on_udp, one, Lately()))

    def _on_udp(self, udp: socket.socket, lately: Lately, _events: int) -> None:
        came = lately.received(udp)
        put = self._burst.put if len(came) > 1 else send
        turn, relays, mono = self._turn, self._relays, self._loop.now
        self._amid = udp
        for data, client in came:
            if turn is not None and data >= CHANNEL_DATA:
                parcel = turn.channel_data(data, client, mono)
            else:
                parcel = self._server.from_client(data, client, instant())
            if parcel is None:
                continue
            port, data, to = parcel
            if to is None:
                relays[port].to_client(put, data)
            else:
                put(relays[port].socket if port else udp, data, to)
        self._burst.flush()

    def _on_relay(self, relay: Relay, _events: int) -> None:
        assert self._turn is not None
        came = relay.lately.received(relay.socket)
        put = self._burst.put if len(came) > 1 else send
        from_peer, port, mono = self._turn.from_peer, relay.port, self._loop.now
        for data, peer in came:
            inward = from_peer(port, data, peer, mono)
            if inward is not None:
                relay.to_client(put, inward)
        self._burst.flush()

    def _frame(self, stream: Stream, frame: bytes, now: Instant) -> None:
        self._amid = stream
        parcel = self._server.from_client(frame, stream.client, now)
        if parcel is None:
            return
        port, data, to = parcel
        if to is None:
            self._relays[port].to_client(send, data)
        elif port:
            send(self._relays[port].socket, data, to)
        else:
            stream.send(data)

    def _gone(self, client: Client) -> None:
        if self._turn is not None:
            self._turn.client_gone(client)

    def _is_served(self, client: Client) -> bool:
        return self._turn is not None and self._turn.has_allocation(client)

    def _on_commands(self, commands: int, _events: int) -> None:
        data = os.read(commands, CHUNK_BYTES)
        if data:
            self._take(data)
            self._report()  # whoever puts a member out looks whether it is
        else:
            self._loop.end()

    def _take(self, data: bytes) -> None:
        *lines, self._begun = (self._begun + data).split(b"\n")
        for each in lines:
            change = messages.read_change(each)
            if self._turn is not None:
                self._turn.admit(change.admit)
                self._turn.expel(change.expel)

    # ── once a second ─────────────────────────────────────────────────────────────────────────────────────────────────

    def _pause_s(self) -> float:
        return 1.0 if self._relays or self._streams else IDLE_TICK_S

    def _tick(self, now: Instant) -> None:
        self._streams.tick(now)
        if self._turn is not None:
            self._turn.sweep(now)
        if now.mono - self._looked >= IDLE_TICK_S - 0.1:
            with suppress(OSError):  # no descriptor left to ask with: as it was, until the next time
                self._look_around()
        self._report()

    _looked = 0.0

    def _look_around(self) -> None:
        """Addresses and certificates change while we run."""
        self._looked = instant().mono
        addresses = machine_addresses()
        if self._turn is not None:
            self._turn.set_own_addresses(addresses)
        try:
            for one in self._udp.follow(addresses):
                self._watch_udp(one)
            self._problem = None
        except CannotListen as error:
            self._problem = error.strerror
        if self._certificates is not None:
            self._certificates.look()

    def _report(self) -> None:
        problem = self._problem
        if problem is None and self._certificates is not None:
            problem = self._certificates.problem
        report = messages.Report(len(self._relays), len(self._streams), replace(self._server.counts), problem)
        if report != self._said:
            self._said = report
            self._say(report)


class Relay:
    """One relay port, and the way to the client that it is for."""

    __slots__ = ("_client", "_stream", "_udp", "lately", "port", "socket")

    def __init__(
        self,
        made: socket.socket,
        port: int,
        client: Client,
        *,
        udp: socket.socket | None = None,
        stream: Stream | None = None,
    ) -> None:
        """`udp` or `stream`: where the client is."""
        self.socket = made
        self.port = port
        self.lately = Lately()
        self._client = client
        self._udp = udp
        self._stream = stream

    def to_client(self, put: Callable[[socket.socket, bytes, Client], None], data: bytes) -> None:
        if self._udp is not None:
            put(self._udp, data, self._client)
        elif self._stream is not None:
            self._stream.send(data)


class Lately:
    """Whether the datagrams of a socket come one by one, so that asking for a second one is a call for nothing."""

    __slots__ = ("_alone", "_unasked")

    def __init__(self) -> None:
        self._alone = 0
        """How many times in a row there was no second one."""
        self._unasked = 0
        """How many times more none is asked for."""

    def received(self, one: socket.socket) -> Sequence[tuple[bytes, Any]]:
        """What is there, `BATCH` at most. If there is more, the loop calls again."""
        receive = one.recvfrom
        try:
            first = receive(DATAGRAM_BYTES)
        except OSError:
            return ()
        if self._unasked:
            self._unasked -= 1
            return (first,)
        came = [first]
        try:
            came.append(receive(DATAGRAM_BYTES))
            self._alone = 0
            for _ in range(BATCH - 2):
                came.append(receive(DATAGRAM_BYTES))  # noqa: PERF401 - those in front of the error are wanted
        except OSError:
            if len(came) == 1:
                self._alone += 1
                if self._alone > LOOK_AGAIN:
                    self._unasked = NO_SECOND
        return came


def main() -> int:
    """The command `turn-worker`."""
    leave_signals_to_the_daemon()
    commands, reports = sys.stdin.fileno(), sys.stdout.fileno()
    text, begun = first_line(commands)
    job = messages.read_job(text)
    raise_limit(job.limits.allocations + MOST + OWN_DESCRIPTORS)  # the daemon's, which is inherited, is lower
    os.set_blocking(reports, False)
    try:
        worker = Worker(job, partial(say, reports))
    except OSError as error:
        say(reports, Refused(error.strerror or str(error)))
        return 1
    worker.run(commands, begun)
    return 0


def _open(job: Job) -> tuple[sockets.Datagrams, list[socket.socket]]:
    """The sockets for clients: UDP, and TCP on the same port if it is wanted. Raises `CannotListen`."""
    for left in reversed(range(sockets.TRIES)):
        udp = sockets.Datagrams(job.bind, job.port)
        try:
            udp.follow(machine_addresses())
            return udp, [open_stream_listener(job.bind, udp.port)] if job.tcp else []
        except CannotListen:
            udp.close(udp.sockets.values())
            if job.port or not left:
                raise
    raise AssertionError
