"""One network's driver: carries out what its engine decides.

Owns the network's sessions, its timer, its signaling and the saving of its roster. Everything here runs on one
thread; the calls that come from the transport and from signaling are plain functions, so a frame is decoded, decided
and answered without a queue or a task switch.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, assert_never

import trio

from myownmesh.engine import EngineError, PeerNotAdmitted, PeerNotFound
from myownmesh.engine.actions import (
    AddCandidate,
    CloseSession,
    Deliver,
    Emit,
    LinkDown,
    MakeOffer,
    OpenSession,
    Publish,
    RedialRelays,
    SaveRoster,
    SendFrame,
    TakeAnswer,
    TakeOffer,
    WaiterDone,
)
from myownmesh.mesh import clock
from myownmesh.mesh.channels import Channels
from myownmesh.mesh.errors import MeshError
from myownmesh.mesh.link import Link
from myownmesh.mesh.rpc import Rpc, not_found
from myownmesh.mesh.saver import Saver
from myownmesh.protocol.codec import FrameTooLarge, encode_frame
from myownmesh.protocol.frames import Channel, ChannelSeq, RpcRequest, RpcResponse, RpcStreamChunk, RpcStreamEnd

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    import msgspec

    from myownmesh.engine import Engine
    from myownmesh.engine.actions import Action
    from myownmesh.engine.events import MeshEvent
    from myownmesh.engine.links import LinkEvent
    from myownmesh.protocol.frames import Frame
    from myownmesh.protocol.ids import Rng
    from myownmesh.protocol.signals import InboundSignal
    from myownmesh.roster import Roster
    from myownmesh.signaling.driver import Signaling
    from myownmesh.transport.session import IceServer, SessionFactory

log = logging.getLogger(__name__)

_NEED_SESSIONS = (OpenSession, MakeOffer, TakeOffer, TakeAnswer, AddCandidate, CloseSession)
"""Actions that wait for WebRTC, in their order."""


class Driver:
    """Runs one engine against the world: construct, `run` in a nursery, `leave` or `stop` to end it."""

    def __init__(
        self,
        engine: Engine,
        *,
        signaling: Sequence[Signaling],
        ice_servers: Callable[[], tuple[IceServer, ...]],
        save_roster: Callable[[Roster], None],
        on_event: Callable[[MeshEvent], None],
        rng: Rng,
    ) -> None:
        self.engine = engine
        self.channels = Channels()
        self.rpc = Rpc(self.send, rng)
        self.ready = trio.Event()
        """Set once WebRTC is loaded and signaling runs: from then on peers can be dialled."""
        self._signaling = tuple(signaling)
        self._ice_servers = ice_servers
        self._saver = Saver(lambda: engine.roster, save_roster)
        self._on_event = on_event
        self._factory: SessionFactory | None = None
        self._links: dict[str, tuple[int, Link]] = {}
        self._congested: set[Link] = set()
        self._waiters: dict[int, Callable[[str | None], None]] = {}
        self._next_waiter = 0
        self._pumping = False
        self._early: list[Action] = []
        self._stopped = False
        self._failure: Exception | None = None
        self._failed = trio.Event()
        self._cancel_scope = trio.CancelScope()
        self._alarm = trio.CancelScope()
        self._armed_for = float("inf")
        self._trio_offset_s = 0.0

    # ── life ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def run(self, factory: Callable[[], Awaitable[SessionFactory]]) -> None:
        """Serve the network until `stop` or cancellation. `factory` is awaited for the session factory.

        A bug in the engine ends this call with its traceback; the sessions are closed in every case.
        """
        try:
            with self._cancel_scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._watch_for_failure)
                    nursery.start_soon(self._saver.run)
                    self._factory = await factory()
                    self._trio_offset_s = trio.current_time() - clock.now().mono
                    self.engine.start(clock.now())
                    self._pump()
                    nursery.start_soon(self._run_timer)
                    for signaling in self._signaling:
                        signaling.on_up = self._signaling_up
                        nursery.start_soon(signaling.run, self._signal)
                    self.ready.set()
        finally:
            self.stop()
            self._saver.finish()

    async def leave(self) -> None:
        """Announce the departure, give it time to reach the room and `stop` (spec 04 §1.2)."""
        now = clock.now()
        self.engine.leave(now)
        self._pump()
        closes_at = self.engine.next_timer()  # nothing else is left to do
        if closes_at is not None:
            await trio.sleep(max(0.0, closes_at - now.mono))
        self.stop()

    def stop(self) -> None:
        """Close every session, fail every call and end `run`."""
        if self._stopped:
            return
        self._stopped = True
        self.engine.stop(clock.now())
        self._pump()
        for _, link in self._links.values():
            link.close()
        self._links.clear()
        self.rpc.shut_down()
        for done in [*self._waiters.values()]:
            done("network: network shut down")
        self._waiters.clear()
        self._cancel_scope.cancel()

    async def roster_saved(self) -> None:
        """Wait until the roster as it is now is on disk. Raises `MeshError` when it could not be written."""
        await self._saver.flush()

    # ── commands ─────────────────────────────────────────────────────────────────────────────────────────────

    def command(self, act: Callable[[], object]) -> None:
        """Run an engine command and carry out what it asks for; the engine's errors pass through."""
        try:
            act()
        finally:
            self._pump()

    def connect(self, peer: str, *, pin: bool, done: Callable[[str | None], None] | None) -> Callable[[], None]:
        """Dial a peer; `done(error)` is called when it is active or the dial ended. Returns what abandons the wait.

        Raises `EngineError` when it cannot be dialled at all.
        """
        waiter: int | None = None
        if done is not None:
            waiter = self._next_waiter
            self._next_waiter += 1
            self._waiters[waiter] = done

        def abandon() -> None:
            if waiter is not None and self._waiters.pop(waiter, None) is not None:
                self.engine.abandon_waiter(waiter)

        try:
            self.command(lambda: self.engine.connect(peer, pin, waiter, clock.now()))
        except EngineError:
            abandon()
            raise
        return abandon

    def redial(self) -> None:
        """Replace every relay connection of this network."""
        for signaling in self._signaling:
            signaling.redial()

    # ── sending ──────────────────────────────────────────────────────────────────────────────────────────────

    def send(self, peer: str, frame: Frame, done: Callable[[str | None], None], *, urgent: bool = False) -> int:
        """Send an application frame to an admitted peer; returns the epoch of its link.

        Raises `MeshError` when there is no such peer or the frame is too large; a later loss is told to `done`.
        """
        now = clock.now()
        try:
            out = self.engine.frame_for(peer, frame, now)
        except (PeerNotFound, PeerNotAdmitted) as error:
            raise MeshError(not_found(peer)) from error
        except FrameTooLarge as error:
            raise MeshError(f"transport: {error}") from error
        epoch, link = self._links.get(out.peer, (None, None))
        if link is None or epoch != out.epoch:
            raise MeshError("transport: session not yet established")
        self._send_on(link, frame.KIND, out.data, now.mono, done, urgent=urgent)
        return out.epoch

    def broadcast(self, channel: str, payload: msgspec.Raw, done: Callable[[int], None]) -> None:
        """Send one channel frame to every peer that takes broadcasts; `done` gets the number of sends that succeeded.

        Raises `MeshError` when the frame is too large.
        """
        try:
            data = encode_frame(Channel(channel=channel, payload=payload))
        except FrameTooLarge as error:
            raise MeshError(f"transport: {error}") from error
        links = [
            self._links[peer][1]
            for peer, epoch in self.engine.broadcast_targets()
            if self._links.get(peer, (None,))[0] == epoch
        ]
        left, sent = len(links), 0
        if not links:
            done(0)
            return

        def one_done(error: str | None) -> None:
            nonlocal left, sent
            left -= 1
            sent += error is None
            if left == 0:
                done(sent)

        now_s = clock.now().mono
        for link in links:
            self._send_on(link, Channel.KIND, data, now_s, one_done)

    def _send_on(
        self,
        link: Link,
        kind: str,
        data: bytes,
        now_s: float,
        done: Callable[[str | None], None],
        *,
        urgent: bool = False,
    ) -> None:
        def sent(error: str | None) -> None:
            if error is None:
                self.engine.note_sent(kind, len(data))
            done(error)

        link.send(data, now_s, sent, urgent=urgent)
        self._watch_congestion(link)

    def _watch_congestion(self, link: Link) -> None:
        if link.next_deadline is not None and link not in self._congested:
            self._congested.add(link)
            self.rearm()

    # ── inputs ───────────────────────────────────────────────────────────────────────────────────────────────

    def _signal(self, signal: InboundSignal) -> None:
        self._enter(lambda: self.engine.receive_signal(signal, clock.now()))

    def _signaling_up(self) -> None:
        self._enter(lambda: self.engine.signaling_is_up(clock.now()))

    def _link_event(self, peer: str, epoch: int, event: LinkEvent) -> None:
        self._enter(lambda: self.engine.receive_link_event(peer, epoch, event, clock.now()))

    def _enter(self, act: Callable[[], None]) -> None:
        """Run an input that comes from a foreign callback, where an exception would get lost."""
        if self._stopped:
            return
        try:
            act()
            self._pump()
        except Exception as error:  # noqa: BLE001 - carried into our own task, which raises it
            self._fail(error)

    def _frame(self, peer: str, epoch: int, data: bytes) -> None:
        if self._stopped:
            return
        try:
            self.engine.receive_frame(peer, epoch, data, clock.now())
            self._pump()
        except Exception as error:  # noqa: BLE001 - carried into our own task, which raises it
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        if self._failure is None:
            self._failure = error
            self._failed.set()

    async def _watch_for_failure(self) -> None:
        await self._failed.wait()  # no deadline: a failure is a bug and may never come
        assert self._failure is not None
        raise self._failure

    # ── timer ────────────────────────────────────────────────────────────────────────────────────────────────

    def _next_deadline(self) -> float:
        deadlines = [self.engine.next_timer(), self.rpc.next_deadline]
        deadlines += [link.next_deadline for link in self._congested]
        return min((each for each in deadlines if each is not None), default=float("inf"))

    def rearm(self) -> None:
        """Move the timer forward if something is due earlier than it knows."""
        deadline = self._next_deadline()
        if deadline < self._armed_for:
            self._armed_for = deadline
            self._alarm.deadline = deadline + self._trio_offset_s

    async def _run_timer(self) -> None:
        while True:
            self._armed_for = self._next_deadline()
            with trio.CancelScope(deadline=self._armed_for + self._trio_offset_s) as self._alarm:
                await trio.sleep_forever()
            now = clock.now()
            self.engine.handle_timer(now)
            self.rpc.expire(now.mono)
            for link in self._congested:
                link.expire(now.mono)
            self._congested = {link for link in self._congested if link.next_deadline is not None}
            self._pump()

    # ── actions ──────────────────────────────────────────────────────────────────────────────────────────────

    def _pump(self) -> None:
        if self._pumping:
            return  # an action's callback came back in; the loop below takes what it added
        self._pumping = True
        try:
            while actions := [*self._take_early(), *self.engine.actions()]:
                for action in actions:
                    if self._factory is None and isinstance(action, _NEED_SESSIONS):
                        self._early.append(action)
                    else:
                        self._carry_out(action)
        finally:
            self._pumping = False
        self.rearm()

    def _take_early(self) -> list[Action]:
        """What was asked of peers before WebRTC was loaded, once it is: clients may dial as soon as they connect."""
        if self._factory is None or not self._early:
            return []
        early, self._early = self._early, []
        return early

    def _carry_out(self, action: Action) -> None:
        match action:
            case Deliver(peer, epoch, frame):
                self._deliver(peer, epoch, frame)
            case SendFrame(peer, epoch, kind, data):
                self._send_control(peer, epoch, kind, data)
            case Emit(event):
                self._on_event(event)
            case Publish(signal):
                for signaling in self._signaling:
                    signaling.publish(signal)
            case OpenSession(peer, epoch, offerer):
                self._open(peer, epoch, offerer=offerer)
            case MakeOffer(peer, epoch, restart):
                if (link := self._link(peer, epoch)) is not None:
                    link.session.make_offer(restart=restart)
            case TakeOffer(peer, epoch, sdp):
                if (link := self._link(peer, epoch)) is not None:
                    link.session.take_offer(sdp)
            case TakeAnswer(peer, epoch, sdp):
                if (link := self._link(peer, epoch)) is not None:
                    link.session.take_answer(sdp)
            case AddCandidate(peer, epoch, candidate):
                if (link := self._link(peer, epoch)) is not None:
                    link.session.add_candidate(candidate)
            case CloseSession(peer, epoch):
                if (link := self._link(peer, epoch)) is not None:
                    del self._links[peer]
                    link.close()
            case LinkDown(peer, epoch):
                self.rpc.link_down(peer, epoch)
            case WaiterDone(waiter, error):
                if (done := self._waiters.pop(waiter, None)) is not None:
                    done(error)
            case SaveRoster():
                self._saver.request()
            case RedialRelays():
                self.redial()
            case _:
                assert_never(action)

    def _link(self, peer: str, epoch: int) -> Link | None:
        found = self._links.get(peer)
        return found[1] if found is not None and found[0] == epoch else None

    def _open(self, peer: str, epoch: int, *, offerer: bool) -> None:
        if (old := self._links.pop(peer, None)) is not None:
            old[1].close()
        if self._factory is None:
            raise RuntimeError("sessions are opened only once they can be made")
        session = self._factory.open(
            offerer=offerer,
            ice_servers=self._ice_servers(),
            on_event=lambda event: self._link_event(peer, epoch, event),
            on_frame=lambda data: self._frame(peer, epoch, data),
        )
        self._links[peer] = (epoch, Link(session))

    def _send_control(self, peer: str, epoch: int, kind: str, data: bytes) -> None:
        link = self._link(peer, epoch)
        if link is None:
            self.engine.frame_lost(peer, epoch, kind, clock.now())
            return

        def sent(error: str | None) -> None:
            if error is not None and not self._stopped:
                log.debug("lost a %s frame to %s: %s", kind, peer, error)
                self.engine.frame_lost(peer, epoch, kind, clock.now())

        link.send(data, clock.now().mono, sent, urgent=True)
        self._watch_congestion(link)

    def _deliver(self, peer: str, epoch: int, frame: Frame) -> None:
        match frame:
            case RpcRequest() | RpcResponse() | RpcStreamChunk() | RpcStreamEnd():
                self.rpc.receive(peer, epoch, frame)
            case Channel(channel=channel, payload=payload) | ChannelSeq(channel=channel, payload=payload):
                self.channels.deliver(peer, channel, payload)
            case _:
                raise RuntimeError(f"the engine delivered a {frame.KIND} frame")
