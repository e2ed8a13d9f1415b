"""The LAN driver of one network: its advert, its exchange connections, and who is dialled (spec 03 §18).

It needs no relay, no internet and no clock. What is decided without sockets stands in `myownmesh.lan` and `lan_words`.
"""

from __future__ import annotations

import logging
import math
import socket
from collections import deque
from typing import TYPE_CHECKING, Final

import trio

from myownmesh.lan.directory import Directory, Found
from myownmesh.lan.endpoints import PARALLEL_DIALS, Penalties, near
from myownmesh.lan.filing import Filing
from myownmesh.lan.lines import BadLine, Splitter
from myownmesh.lan.names import instance_label
from myownmesh.protocol.signals import Announce, AnswerReceived, Leave, OfferReceived, StandAside
from myownmesh.protocol.tokens import TokenBucket
from myownmesh.signaling.lan_words import Words
from myownmesh.signaling.pacing import seconds_until
from myownmesh.signaling.receive import Dropped
from myownmesh.signaling.room import room_handle

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from myownmesh.lan.directory import Change, Record
    from myownmesh.protocol.clock import Instant
    from myownmesh.protocol.signals import Carried, InboundSignal
    from myownmesh.sealing.desk import Desk
    from myownmesh.signaling.gate import ContentGate
    from myownmesh.signaling.lan_responder import Responder, Watch
    from myownmesh.signaling.standing import News, RelayReport

log = logging.getLogger(__name__)

DIAL_S: Final = 2.0
MUTE_MS: Final = 2500
"""What a connection does not deliver within it ends it; the next line is dialled anew."""
WRITER_IDLE_S: Final = 30.0
READER_IDLE_S: Final = 120.0
RESURFACE_S: Final = 60.0
"""Between reminders of everybody who is there: they pace what is offered again."""
AGAIN_S: Final = 60.0
"""After the way could not be opened."""
NEWCOMER_S: Final = 5.0
"""So long after the start, and after a change of the network, we tell whom we find that we are here: our own advert is
heard only after its probes."""
ANNOUNCES_BURST: Final = 64.0
ANNOUNCES_PER_S: Final = 8.0
LINES_BURST: Final = 200.0
LINES_PER_S: Final = 50.0
"""Of one connection: what is over that waits in its socket, and so at its sender."""
MAX_DIALLED: Final = 32
"""Devices that are dialled at a time; what is to be said to others meanwhile is dropped, as without a way to them."""
MAX_WAITING: Final = 128
"""Lines for one device: several offers with all their candidates."""
PIECE_BYTES: Final = 16_384
TIMER_FLOOR_S: Final = 0.2
"""Whatever is heard, the directory is gone through no more often."""


class _Connection:
    """One exchange connection, whoever opened it."""

    def __init__(self, stream: trio.SocketStream, opened: float) -> None:
        self.stream = stream
        self.waiting: deque[bytes] = deque(maxlen=MAX_WAITING)
        self.scope = trio.CancelScope()
        self.lines = TokenBucket(LINES_PER_S, LINES_BURST, opened)
        self._wake = trio.Event()

    def put(self, line: bytes) -> None:
        self.waiting.append(line)
        self._wake.set()

    async def take(self) -> bytes | None:
        """All that waits; None when nothing was said for too long."""
        if not self.waiting:
            self._wake = trio.Event()
            with trio.move_on_after(WRITER_IDLE_S):
                await self._wake.wait()
        data = b"".join(self.waiting)
        self.waiting.clear()
        return data or None


class LanSignaling:
    """Meets the room in the local network. Implements `signaling.driver.Signaling`."""

    def __init__(
        self,
        *,
        device_id: str,
        network_id: str,
        app_id: str,
        now: Callable[[], Instant],
        gate: ContentGate,
        responder: Responder,
        desk: Desk | None,
    ) -> None:
        """`network_id` is normalised, `device_id` bare; gate and desk are the network's, `responder` the process's."""
        self._now = now
        self._me = device_id
        room = room_handle(app_id, network_id)
        self._words = Words(device_id=device_id, room=room, gate=gate, desk=desk)
        self.label = instance_label(room, device_id)
        self.port = 0
        """Of the listener; 0 until there is one."""
        self._responder = responder
        mono = now().mono
        self._directory = Directory(room, device_id, mono)
        self._penalties = Penalties()
        self._filing: Filing[_Connection] = Filing()
        self._dialled: dict[str, deque[bytes]] = {}
        """What waits for a connection to each device."""
        self._dialling: dict[str, trio.CancelScope] = {}
        self._announces = TokenBucket(ANNOUNCES_PER_S, ANNOUNCES_BURST, mono)
        self._newcomer_until = mono + NEWCOMER_S
        self._is_silent = False
        """We left, or stand aside."""
        self._moved = trio.Event()
        self._timer = trio.CancelScope()
        self._looked_at = -math.inf
        self._deliver: Callable[[InboundSignal], None] = _nobody_hears
        self._nursery: trio.Nursery | None = None
        self.on_up: Callable[[], None] = _nobody
        self.on_news: Callable[[News], None] = _nobody_told

    # ── what the network asks for ─────────────────────────────────────────────────────────────────────────────────────

    def report(self) -> Sequence[RelayReport]:
        return ()

    @property
    def is_met_locally(self) -> bool:
        return self._nursery is not None and not self._is_silent and not self._directory.is_paused

    def publish(self, signal: Carried) -> None:
        match signal:
            case Leave() | StandAside(silent=True):
                self._fall_silent()
            case StandAside():
                self._is_silent = False
                if self._nursery is not None:
                    self._nursery.start_soon(self._advertise)
            case _ if self._nursery is None or self._is_silent:
                return
            case Announce():
                self._announce_to_all()
            case _:
                self._say(signal.peer, self._words.line(signal))

    def redial(self, *, if_mute: bool = False) -> None:
        """There is nothing that is kept open: connections that may be of yesterday end with `network_moved`."""

    def set_pace(self, *, quiet: bool) -> None:
        """An advert is said when somebody asks."""

    def network_moved(self, *, offline: bool) -> None:
        if offline:
            self._directory.pause()
            return
        now = self._now().mono
        self._directory.resume(now)
        self._penalties.forget_all()
        self._newcomer_until = now + NEWCOMER_S
        for connection in self._filing.all():
            connection.scope.cancel()
        for scope in self._dialling.values():
            scope.cancel()  # begun from an address that may be gone
        self._moved.set()

    async def run(
        self,
        deliver: Callable[[InboundSignal], None],
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Serve until cancelled; then the advert is taken back."""
        self._deliver = deliver
        task_status.started()
        try:
            async with trio.open_nursery() as nursery:
                listeners = await self._open()
                self.port = listeners[0].socket.getsockname()[1]
                self._nursery = nursery
                nursery.start_soon(trio.serve_listeners, self._accepted, listeners)
                nursery.start_soon(self._advertise)
                nursery.start_soon(self._run_timer)
                nursery.start_soon(self._resurface)
                nursery.start_soon(self._follow)
                self.on_up()
        finally:
            self._nursery = None
            with trio.CancelScope(shield=True):
                await self._end_with(self._responder.detach)  # bounded there

    async def _open(self) -> list[trio.SocketListener]:
        """The listener, and the responder; tried again until both are there."""
        is_told = False
        while True:
            self._moved = trio.Event()
            listeners: list[trio.SocketListener] = []
            try:
                listeners += await trio.open_tcp_listeners(0, host="0.0.0.0")
                await self._responder.attach(self)
            except OSError as error:
                for listener in listeners:
                    await listener.aclose()
                log.log(logging.DEBUG if is_told else logging.WARNING, "no signaling in the local network: %s", error)
                is_told = True
                with trio.move_on_after(AGAIN_S):
                    await self._moved.wait()
            else:
                return listeners

    async def _advertise(self) -> None:
        while not self._is_silent:
            try:
                await self._responder.advertise(self, self)
            except OSError as error:
                log.warning("this device cannot be seen in the local network: %s", error)
                await trio.sleep(AGAIN_S)
            else:
                return

    def text(self) -> dict[str, str]:
        """What our advert says."""
        return self._words.advert(self._now())

    async def _follow(self) -> None:
        while True:
            await self._moved.wait()  # no deadline: nothing may ever change
            self._moved = trio.Event()
            try:
                await self._responder.moved(self)
            except OSError as error:
                log.warning("the local network cannot be followed: %s", error)

    def _fall_silent(self) -> None:
        self._is_silent = True
        self._dialled.clear()
        for connection in self._filing.all():
            connection.scope.cancel()
        if self._nursery is not None:
            self._nursery.start_soon(self._end_with, self._responder.withdraw)

    async def _end_with(self, ending: Callable[[Watch], Awaitable[None]]) -> None:
        """Without a goodbye, where none can be said: our advert runs out by itself."""
        try:
            await ending(self)
        except OSError as error:
            log.warning("no goodbye in the local network: %s", error)

    # ── who is there ──────────────────────────────────────────────────────────────────────────────────────────────────

    def is_about(self, name: str) -> bool:
        """Whether a record of this name may mean anything here."""
        return self._directory.is_about(name)

    def heard(self, records: Sequence[Record]) -> None:
        """The responder heard this."""
        now = self._now()
        changes = self._directory.heard(records, now.mono)
        self._act(changes, now)
        if changes or now.mono - self._looked_at >= TIMER_FLOOR_S:
            self._timer.cancel()

    def _act(self, changes: Sequence[Change], now: Instant) -> None:
        for change in changes:
            if not isinstance(change, Found):
                self._penalties.forget(change.endpoint)
                for connection in self._filing.of(change.peer):
                    connection.scope.cancel()
                self._deliver(self._words.lost(change.peer))
                continue
            signal = self._words.found(change.advert, now, again=change.again)
            if isinstance(signal, Dropped):
                continue
            peer = change.advert.peer
            if not change.again and self._me > peer and now.mono < self._newcomer_until:
                self._announce_to(peer, now)
            self._deliver(signal)

    async def _run_timer(self) -> None:
        while True:
            self._looked_at = self._now().mono
            with trio.CancelScope() as self._timer:
                await trio.sleep(max(TIMER_FLOOR_S, seconds_until(self._directory.next_due(), self._looked_at)))
            await trio.sleep(max(0.0, self._looked_at + TIMER_FLOOR_S - self._now().mono))
            now = self._now()
            changes, questions = self._directory.handle_timer(now.mono)
            self._act(changes, now)
            self._responder.ask(questions)

    async def _resurface(self) -> None:
        while True:
            await trio.sleep(RESURFACE_S)
            self._act(self._directory.reminders(), self._now())

    # ── what is said ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _announce_to_all(self) -> None:
        now = self._now()
        for peer in self._directory.peers:
            if not self._words.is_linked(peer):
                self._announce_to(peer, now)

    def _announce_to(self, peer: str, now: Instant) -> None:
        if not self._is_silent and self._announces.take(now.mono):
            self._say(peer, self._words.announce_to(peer, now))

    def _say(self, peer: str, line: bytes) -> None:
        connection = self._filing.to(peer)
        if connection is not None:
            connection.put(line)
            return
        waiting = self._dialled.get(peer)
        if waiting is not None:
            waiting.append(line)
        elif self._nursery is not None and self._directory.endpoint(peer) is not None and self._may_dial():
            self._dialled[peer] = deque([line], maxlen=MAX_WAITING)
            self._nursery.start_soon(self._dial, peer)

    def _may_dial(self) -> bool:
        return len(self._dialled) < MAX_DIALLED

    async def _dial(self, peer: str) -> None:
        """Reach a device at one of its addresses and say what waits; where none answers it is dropped."""
        try:
            found = await self._reached(peer)
            if found is None:
                self._answer_where_it_was_heard(peer)
                return
            address, stream = found
            waiting = self._dialled.get(peer)
            if waiting is None:  # we fell silent meanwhile
                await trio.aclose_forcefully(stream)
                return
            connection = _Connection(stream, self._now().mono)
            connection.waiting.extend(waiting)
            self._filing.dialled(connection, address, peer)
        finally:
            self._dialled.pop(peer, None)
            self._dialling.pop(peer, None)
        self._directory.answered(peer)
        await self._exchange(connection)

    def _answer_where_it_was_heard(self, peer: str) -> None:
        connection = self._filing.heard_from(peer)
        if connection is not None:
            for line in self._dialled.get(peer, ()):
                connection.put(line)

    async def _reached(self, peer: str) -> tuple[str, trio.SocketStream] | None:
        """The same, begun anew when the network changes meanwhile."""
        while True:
            with trio.CancelScope() as self._dialling[peer]:
                return await self._reach(peer)

    async def _reach(self, peer: str) -> tuple[str, trio.SocketStream] | None:
        endpoint = self._directory.endpoint(peer)
        if endpoint is None:
            return None
        addresses = near(endpoint.addresses, self._responder.networks)
        order = self._penalties.to_dial(addresses, endpoint.port, self._now().mono)
        for at in range(0, len(order), PARALLEL_DIALS):
            won: list[tuple[str, trio.SocketStream]] = []
            async with trio.open_nursery() as nursery:
                for address in order[at : at + PARALLEL_DIALS]:
                    nursery.start_soon(self._try, address, endpoint.port, won, nursery.cancel_scope)
            if won:
                return won[0]
        return None

    async def _try(
        self, address: str, port: int, won: list[tuple[str, trio.SocketStream]], others: trio.CancelScope
    ) -> None:
        try:
            with trio.fail_after(DIAL_S):
                stream = await trio.open_tcp_stream(address, port)
                _end_when_mute(stream)
        except (OSError, trio.TooSlowError):
            self._penalties.failed(address, port, self._now().mono)
            return
        self._penalties.reached(address, port)
        if won:
            await trio.aclose_forcefully(stream)
            return
        won.append((address, stream))
        others.cancel()

    # ── connections ───────────────────────────────────────────────────────────────────────────────────────────────────

    async def _accepted(self, stream: trio.SocketStream) -> None:
        try:
            address = stream.socket.getpeername()[0]
            _end_when_mute(stream)
        except OSError:  # gone already
            address = None
        if address is None or self._is_silent or not self._filing.may_accept(address):
            await trio.aclose_forcefully(stream)
            return
        connection = _Connection(stream, self._now().mono)
        self._filing.accepted(connection, address)
        await self._exchange(connection)

    async def _exchange(self, connection: _Connection) -> None:
        """Read and write until either side has nothing to say any more."""
        try:
            with connection.scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._write, connection)
                    await self._read(connection)
                    nursery.cancel_scope.cancel()
        finally:
            self._filing.closed(connection)
            await trio.aclose_forcefully(connection.stream)

    async def _write(self, connection: _Connection) -> None:
        try:
            while (data := await connection.take()) is not None:
                with trio.fail_after(WRITER_IDLE_S):
                    await connection.stream.send_all(data)
            self._filing.finished(connection)
            await connection.stream.send_eof()
        except (trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError):
            connection.scope.cancel()

    async def _read(self, connection: _Connection) -> None:
        splitter = Splitter()
        try:
            while True:
                with trio.fail_after(READER_IDLE_S):
                    data = await connection.stream.receive_some(PIECE_BYTES)
                if not data:
                    return
                for line in splitter.feed(data):
                    await self._line(connection, line)
        except BadLine as error:
            log.debug("an exchange connection of the local network is closed: %s", error)
        except (trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError):
            return

    async def _line(self, connection: _Connection, data: bytes) -> None:
        now = self._now().mono
        await trio.sleep(connection.lines.ready_at(now) - now)
        connection.lines.force(now)
        line = self._words.sender_of(data)
        if line is None:
            return
        endpoint = self._directory.endpoint(line.sender)
        if not self._filing.said(connection, line.sender, () if endpoint is None else endpoint.addresses):
            return
        signal = self._words.hear(line, self._now(), again=endpoint is not None)
        match signal:
            case Dropped():
                return
            case OfferReceived(sealed=True, is_fresh=True) | AnswerReceived(sealed=True):
                self._filing.proved(connection)
        self._deliver(signal)


def _end_when_mute(stream: trio.abc.HalfCloseableStream) -> None:
    """End a connection whose other end is not there any more: nothing says so when an address is taken away."""
    option = getattr(socket, "TCP_USER_TIMEOUT", None)  # Linux has it
    if option is not None and isinstance(stream, trio.SocketStream):
        stream.setsockopt(socket.IPPROTO_TCP, option, MUTE_MS)


def _nobody() -> None:
    """Nobody asked."""


def _nobody_told(news: News) -> None:
    """Nobody asked."""


def _nobody_hears(signal: InboundSignal) -> None:
    """Nobody asked."""
