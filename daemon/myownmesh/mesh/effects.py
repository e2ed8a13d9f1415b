"""What an engine decided, put into effect on sessions, calls, channels and whoever waits.

Synchronous, within the call that brought the input: whatever an action brings back (a callback that comes in again, a
frame that was lost) is carried out in the same turn.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, assert_never

from myownmesh.engine.actions import (
    AddCandidate,
    CloseSession,
    Deliver,
    DescribePaths,
    Emit,
    Forward,
    Knock,
    LinkDown,
    LinkUp,
    MakeOffer,
    OpenSession,
    Publish,
    RedialRelays,
    SaveBook,
    SaveRoster,
    SendDone,
    SendFrame,
    SendReliable,
    SetPace,
    TakeAnswer,
    TakeOffer,
    WaiterDone,
)
from myownmesh.mesh.links import Links
from myownmesh.mesh.precedence import order_of_control
from myownmesh.mesh.sending import Sending
from myownmesh.mesh.tracing import Followers
from myownmesh.protocol.frames import Channel, ChannelSeq, RpcRequest, RpcResponse, RpcStreamChunk, RpcStreamEnd
from myownmesh.transport.session import Order

if TYPE_CHECKING:
    from collections.abc import Callable

    from myownmesh.engine import Engine
    from myownmesh.engine.actions import Action
    from myownmesh.engine.links import LinkEvent
    from myownmesh.mesh.channels import Channels
    from myownmesh.mesh.link import Link
    from myownmesh.mesh.ports import Outside, SessionOpener
    from myownmesh.mesh.rpc import Rpc
    from myownmesh.protocol.frames import Frame

log = logging.getLogger(__name__)

NEVER = float("inf")
"""Monotonic second of a deadline that there is not."""

_NEED_SESSIONS = (OpenSession, MakeOffer, TakeOffer, TakeAnswer, AddCandidate, CloseSession)
"""Actions that wait for WebRTC, in their order."""


class Effects:
    """One engine's links, sends and waiters, and the loop that carries its actions out.

    `links` and `sending` are for whoever sends. Callbacks from outside may come back in: what they add is carried out
    by the turn that is under way.
    """

    __slots__ = (
        "_channels",
        "_early",
        "_engine",
        "_now",
        "_open_session",
        "_outside",
        "_pumping",
        "_rpc",
        "_woken_at",
        "followers",
        "links",
        "on_book",
        "on_knock",
        "on_link_down",
        "sending",
        "waiters",
    )

    def __init__(
        self,
        engine: Engine,
        rpc: Rpc,
        channels: Channels,
        outside: Outside,
    ) -> None:
        self._engine = engine
        self._rpc = rpc
        self._channels = channels
        self._outside = outside
        self._now = outside.now
        self._woken_at = NEVER
        self._open_session: SessionOpener | None = None
        self._early: list[Action] = []
        """What clients asked of peers before WebRTC was loaded: they may dial as soon as they connect."""
        self._pumping = False
        self.links = Links()
        self.sending = Sending(self.links, outside.now, engine.note_sent, self._rearm)
        self.followers = Followers(engine)
        self.waiters: dict[int, Callable[[str | None], None]] = {}
        """By ticket: who is told that a dial ended, or that a frame was acknowledged."""
        self.on_knock: Callable[[Knock], None] = _nobody_home
        """Called when a device that nobody has approved shows an invitation; whoever runs this may set it."""
        self.on_link_down: Callable[[str], None] = _nobody_minds
        """Called when an admitted link to this peer is over; whoever runs this may set it."""
        self.on_book: Callable[[], None] = _nobody_writes
        """Called when what this device holds of signed governance changed; whoever writes it may set it."""

    def open_sessions(self, open_session: SessionOpener) -> None:
        """WebRTC is loaded: dial whom clients asked for before."""
        self._open_session = open_session
        early, self._early = self._early, []
        for action in early:
            self._carry_out(action)

    # ── turns ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def pump(self) -> None:
        """Carry out what the engine has decided, and have ourselves woken for what it wants to do later."""
        if self._pumping:
            return  # an action's callback came back in; the loop below takes what it added
        actions = self._engine.actions()
        if actions:
            self._act(actions)
        # Calls and links that wait say so themselves: what came in can only have moved the engine's own deadlines.
        at = self._engine.next_timer()
        if at is not None and at < self._woken_at:
            self.be_woken_at(at)
        if self.followers.tracers:
            self._tell_followers()

    def _act(self, actions: list[Action]) -> None:
        """Carry out these, and what comes of them."""
        self._pumping = True
        try:
            while actions:
                for action in actions:
                    if self._open_session is None and isinstance(action, _NEED_SESSIONS):
                        self._early.append(action)
                    else:
                        self._carry_out(action)
                actions = self._engine.actions()
        finally:
            self._pumping = False

    def handle_timer(self) -> None:
        """Do what is due in the engine, for calls and on links."""
        self._woken_at = NEVER
        now = self._now()
        self._engine.handle_timer(now)
        self._rpc.expire(now.mono)
        self.links.expire(now.mono)
        self._act(self._engine.actions())
        self._rearm()
        if self.followers.tracers:
            self._tell_followers()

    def _rearm(self) -> None:
        """Ask to be woken earlier if something is due earlier than the driver knows."""
        first = self._engine.next_timer()
        for second in (self._rpc.next_deadline, self.links.next_deadline):
            if second is not None and (first is None or second < first):
                first = second
        self.be_woken_at(first)

    def be_woken_at(self, second: float | None) -> None:
        if second is not None and second < self._woken_at:
            self._woken_at = second
            self._outside.wake_at(second)

    def _tell_followers(self) -> None:
        self.followers.show_changes(self._now())

    # ── actions ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _carry_out(self, action: Action) -> None:
        match action:
            case Deliver(peer, epoch, frame):
                self._deliver(peer, epoch, frame)
            case SendFrame(peer, epoch, kind, data):
                self._send_control(peer, epoch, kind, data)
            case Forward(hops, data, to_all):
                links = self.links.all_of(hops)
                if to_all:
                    self.sending.to_all(links, Channel.KIND, data, lambda _: None)
                elif links:
                    now_s = self._now().mono
                    self.sending.by_first(links, Channel.KIND, data, lambda _: None, now_s, Order.IN_TURN)
            case Emit(event):
                self._outside.on_event(event)
            case Publish(signal):
                self._outside.publish(signal)
            case OpenSession(peer, epoch, offerer):
                self._open(peer, epoch, offerer=offerer)
            case MakeOffer() | TakeOffer() | TakeAnswer() | AddCandidate():
                if (link := self.links.get(action.peer, action.epoch)) is not None:
                    link.negotiate(action)
            case CloseSession(peer, epoch):
                self.links.close(peer, epoch)
            case DescribePaths(peer, epoch):
                self._describe(action, self.links.get(peer, epoch))
            case LinkUp(peer, epoch):
                if (link := self.links.get(peer, epoch)) is not None:
                    link.session.admit()
            case LinkDown(peer, epoch):
                self._rpc.link_down(peer, epoch)
                self.on_link_down(peer)
            case SendReliable(peer, epoch):
                self._send_reliable(action, self.links.get(peer, epoch))
            case WaiterDone(waiter, error) | SendDone(waiter, error):
                if (done := self.waiters.pop(waiter, None)) is not None:
                    done(error)
            case Knock():
                self.on_knock(action)
            case SaveRoster():
                self._outside.save_roster()
            case SaveBook():
                self.on_book()
            case SetPace(quiet):
                self._outside.set_pace(quiet)
            case RedialRelays(if_mute):
                self._outside.redial(if_mute)
            case _:
                assert_never(action)

    def _open(self, peer: str, epoch: int, *, offerer: bool) -> None:
        assert self._open_session is not None, "what needs sessions waits until they can be opened"
        session = self._open_session(
            offerer=offerer,
            on_event=partial(self._link_event, peer, epoch),
            on_frame=partial(self._frame, peer, epoch),
        )
        self.links.put(peer, epoch, session)

    def _link_event(self, peer: str, epoch: int, event: LinkEvent) -> None:
        self._engine.receive_link_event(peer, epoch, event, self._now())
        self.pump()

    def _frame(self, peer: str, epoch: int, data: bytes) -> None:
        self._engine.receive_frame(peer, epoch, data, self._now())
        self.pump()

    def _describe(self, asked: DescribePaths, link: Link | None) -> None:
        seen = None if link is None else link.session.ice_snapshot()
        if seen is not None:
            self._engine.paths_described(asked, seen, self._now())

    def _send_control(self, peer: str, epoch: int, kind: str, data: bytes) -> None:
        now = self._now()
        link = self.links.get(peer, epoch)
        if link is None:
            self._engine.frame_lost(peer, epoch, kind, now)
        else:
            sent = partial(self._control_left, peer, epoch, kind)
            self.sending.on(link, data, sent, now.mono, order_of_control(kind))

    def _control_left(self, peer: str, epoch: int, kind: str, error: str | None) -> None:
        if error is not None:
            log.debug("lost a %s frame to %s: %s", kind, peer, error)
            self._engine.frame_lost(peer, epoch, kind, self._now())
            self.pump()

    def _send_reliable(self, ordered: SendReliable, link: Link | None) -> None:
        def left(error: str | None) -> None:
            self._engine.reliable_left(ordered, self._now(), taken=error is None)
            self.pump()

        if link is None:
            left("transport: session not yet established")
        else:
            self.sending.on(link, ordered.data, left, self._now().mono, Order.IN_TURN)

    def _deliver(self, peer: str, epoch: int, frame: Frame) -> None:
        match frame:
            case RpcRequest() | RpcResponse() | RpcStreamChunk() | RpcStreamEnd():
                self._rpc.receive(peer, epoch, frame)
            case Channel(channel=channel, payload=payload) | ChannelSeq(channel=channel, payload=payload):
                self._channels.deliver(peer, channel, payload)
            case _:
                raise RuntimeError(f"the engine delivered a {frame.KIND} frame")


def _nobody_home(_knock: Knock) -> None:
    """Nobody has given invitations."""


def _nobody_writes() -> None:
    """Nobody keeps what is signed, as in the simulator."""


def _nobody_minds(_peer: str) -> None:
    """Nobody asked."""
