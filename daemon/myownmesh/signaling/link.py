"""One relay link from dial to end: the tasks that move a `Conversation`'s texts over a WebSocket (spec 03 §8)."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import trio

from mesh_common.groups import leaves
from myownmesh.signaling.pacing import seconds_until
from myownmesh.signaling.sources import is_ours
from myownmesh.signaling.trouble import Kind, Trouble
from myownmesh.signaling.websocket import LINK_ERRORS, dial, trouble

if TYPE_CHECKING:
    from collections.abc import Callable

    from mesh_common.addresses import RelayAddress
    from myownmesh.protocol.clock import Instant
    from myownmesh.protocol.signals import InboundSignal
    from myownmesh.signaling.conversation import Conversation
    from myownmesh.signaling.doubts import Doubts
    from myownmesh.signaling.nostrroom import NostrRoom
    from myownmesh.signaling.sources import RelaySources
    from myownmesh.signaling.standing import RelayRecord
    from myownmesh.signaling.timepiece import Timepiece
    from myownmesh.signaling.websocket import Socket

log = logging.getLogger(__name__)

FIRST_PING_S = 1.0
"""An honest relay has admitted us by then; whoever has not said anything is asked whether it lives."""
PING_INTERVAL_S = 25.0
PING_LIMIT_S = 10.0
DOUBT_LIMIT_S = 1.0
"""How long a connection that is doubted has to answer, beside two of its round trips."""


class RelayLink:
    """One attempt at one relay. Never raises for what the relay or the network does."""

    def __init__(
        self,
        room: NostrRoom,
        url: str,
        address: RelayAddress,
        timepiece: Timepiece,
        deliver: Callable[[InboundSignal], None],
        on_up: Callable[[], None],
        sources: RelaySources,
        record: RelayRecord,
    ) -> None:
        self._room = room
        self._url = url
        self._address = address
        self._timepiece = timepiece
        self._now = timepiece.now
        self._deliver = deliver
        self._on_up = on_up
        self._sources = sources
        self._record = record
        self.was_up = False
        """The relay has served us."""
        self._socket: Socket | None = None
        self._round_trip_s = 0.0
        self.was_stable = False
        """After `run`: the relay served us for long enough to forgive its end."""
        self.was_mute = False
        """After `run`: it was doubted, and did not answer. It is to be dialled anew at once."""

    async def run(self, redial: trio.Event, doubts: Doubts, *, connect_limit_s: float | None = None) -> Trouble:
        """Talk to the relay until the link ends, `redial` is set, or it cannot dispel a doubt; return why it ended.

        `connect_limit_s`: how long TCP may take to connect, if less than the dial itself.
        """
        reasons: list[Trouble] = []
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_cancel_when, redial, nursery.cancel_scope)
                nursery.start_soon(self._face, doubts, nursery.cancel_scope)
                socket = self._socket = await dial(nursery, self._address, self._timepiece, connect_limit_s)
                with self._sources.standing(socket.local_address):
                    reasons.extend(await self._converse(socket, redial))
                nursery.cancel_scope.cancel()
        except* LINK_ERRORS as group:
            reasons.extend(map(trouble, leaves(group)))
        # A time that runs out tears down what else is under way, and that is heard of too.
        timeouts = (each for each in reasons if each.kind is Kind.SILENT)
        return next(timeouts, None) or next(iter(reasons), Trouble(Kind.CLOSED, "the relay closed the connection"))

    async def _converse(self, socket: Socket, redial: trio.Event) -> list[Trouble]:
        link = self._room.open_link(self._url, self._now())
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._write, socket, link)
                nursery.start_soon(self._keep_alive, socket, link)
                await self._read(socket, link)
                nursery.cancel_scope.cancel()
        finally:
            self._room.close_link(link)
            self.was_stable = link.is_stable(self._now().mono)
            # On a redial the old path is a zombie: a Close would only wait on it.
            await (socket.abort() if redial.is_set() or self.was_mute else socket.close())
        if link.ended is None:
            return []
        return [Trouble(Kind.ERROR if link.last_refusal is None else link.last_refusal.kind, link.ended)]

    async def _read(self, socket: Socket, link: Conversation) -> None:
        while link.ended is None:
            message = await socket.receive()
            if isinstance(message, bytes):
                try:
                    message = message.decode()
                except UnicodeDecodeError:
                    continue
            now = self._now()
            signal = self._room.receive(link, message, now)
            self._note(link, now)
            if signal is not None:
                self._deliver(signal)
            if (pause_s := link.read_again_at(now.mono) - now.mono) > 0:
                await trio.sleep(pause_s)

    async def _write(self, socket: Socket, link: Conversation) -> None:
        while True:
            wake = trio.Event()
            link.on_output = wake.set
            now = self._now()
            link.handle_timer(now)
            self._note(link, now)
            for text in link.take_output(now):
                await socket.send(text)
            timer = link.next_timer(now.mono)
            with trio.move_on_after(seconds_until(timer, self._now().mono)):
                await wake.wait()

    def _note(self, link: Conversation, now: Instant) -> None:
        self._record.links(link.standing(now), link.last_refusal, now.mono)
        if not self.was_up and link.admitted_at is not None:
            self.was_up = True
            log.info("relay %s is up", self._url)
            self._on_up()

    async def _keep_alive(self, socket: Socket, link: Conversation) -> None:
        await trio.sleep(FIRST_PING_S)
        if link.admitted_at is None:
            link.pinged()
            await self._ping(socket, PING_LIMIT_S)
            link.ponged()
        while True:
            await trio.sleep(PING_INTERVAL_S)
            await self._ping(socket, PING_LIMIT_S)

    async def _ping(self, socket: Socket, limit_s: float) -> None:
        left = trio.current_time()
        await socket.ping(limit_s)
        self._round_trip_s = trio.current_time() - left

    async def _face(self, doubts: Doubts, scope: trio.CancelScope) -> None:
        """Answer every doubt. A dial is begun anew: its first packets may have gone nowhere."""
        known = doubts.raised
        while True:
            known = await doubts.after(known)
            if self._socket is None or not await self._answers(self._socket):
                self.was_mute = True
                scope.cancel()
                return
            if self.was_up:
                self._on_up()

    async def _answers(self, socket: Socket) -> bool:
        if not is_ours(socket.local_address):
            return False
        try:
            await self._ping(socket, DOUBT_LIMIT_S + 2 * self._round_trip_s)
        except LINK_ERRORS:
            return False
        return True


async def _cancel_when(event: trio.Event, scope: trio.CancelScope) -> None:
    await event.wait()
    scope.cancel()
