"""Sessions for an embedder under plain `trio.run`: a helper thread runs the loop, callbacks come back to trio.

Calls cross by `call_soon_threadsafe`; what the sessions report is collected and comes back in batches through
`run_sync_soon`, one wake-up for many frames. The interface and its guarantees are those of `transport.session`.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVarTuple, Unpack
from weakref import WeakSet

import trio

from myownmesh.protocol.limits import MAX_FRAME_BYTES
from myownmesh.transport.guest import new_event_loop
from myownmesh.transport.loading import import_backend
from myownmesh.transport.session import Order, SessionNotOpen

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection

    from myownmesh.engine.links import LinkEvent
    from myownmesh.protocol.signals import Candidate
    from myownmesh.transport.aiortc_factory import AiortcFactory
    from myownmesh.transport.session import IceServer, Session

log = logging.getLogger(__name__)

Ts = TypeVarTuple("Ts")

STOP_SECONDS = 5.0
"""The thread stops within this time or is left behind as a daemon thread."""

PULSE_SECONDS = 0.5
"""How often trio is asked whether it runs, while there are sessions."""
STILL_SECONDS = 1.0
"""A trio that has not answered for so long blocks, in a long computation or a call that waits. The transport would go
on telling peers that all is well, so it answers nobody either: they notice within six seconds, as if the process stood
still. What goes on sooner has lost nothing, for the kernel keeps what comes."""


class _Mailbox:
    """Calls from one thread to another, in order, with one wake-up per batch.

    A call that fails is logged with its traceback, as the loop of `guest.run` does it; the others are made.
    """

    def __init__(self, wake: Callable[[Callable[[], None]], object]) -> None:
        """`wake` arranges that the other thread runs a function; it raises `RuntimeError` when that has ended."""
        self._wake = wake
        self._calls: deque[tuple[Callable[..., object], tuple[object, ...]]] = deque()
        self._lock = threading.Lock()
        self._awake = False

    def post(self, function: Callable[[Unpack[Ts]], object], *args: *Ts) -> None:
        with self._lock:
            self._calls.append((function, args))
            if self._awake:
                return
            self._awake = True
        try:
            self._wake(self._run)
        except RuntimeError:
            log.debug("a call to the transport or from it came after the end of its thread")

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._calls:
                    self._awake = False
                    return
                calls = list(self._calls)
                self._calls.clear()
            for function, args in calls:
                try:
                    function(*args)
                except Exception:
                    # A bug of ours: this call is lost, those behind it are not; nobody here could be told.
                    log.exception("error in a transport callback")


class ThreadedSession:
    """A `Session` whose other half lives in the loop's thread."""

    def __init__(
        self,
        to_loop: _Mailbox,
        to_trio: _Mailbox,
        on_event: Callable[[LinkEvent], None],
        on_frame: Callable[[bytes], None],
    ) -> None:
        self._to_loop = to_loop
        self._to_trio = to_trio
        self._on_event = on_event
        self._on_frame = on_frame
        self._inner: Session | None = None
        self._open = False
        self._closed = False
        self._sent = 0
        self._taken = 0

    # On trio's thread.

    @property
    def buffered_bytes(self) -> int:
        inner = self._inner
        return max(0, self._sent - self._taken) + (inner.buffered_bytes if inner is not None else 0)

    @property
    def backlog_bytes(self) -> int:
        return self._inner.backlog_bytes if self._inner is not None else 0

    def make_offer(self, *, restart: bool = False) -> None:
        self._to_loop.post(self._call, lambda session: session.make_offer(restart=restart))

    def take_offer(self, sdp: str) -> None:
        self._to_loop.post(self._call, lambda session: session.take_offer(sdp))

    def take_answer(self, sdp: str) -> None:
        self._to_loop.post(self._call, lambda session: session.take_answer(sdp))

    def add_candidate(self, candidate: Candidate) -> None:
        self._to_loop.post(self._call, lambda session: session.add_candidate(candidate))

    def send(self, data: bytes, order: Order = Order.IN_TURN) -> None:
        if not self._open or self._closed:
            raise SessionNotOpen
        if not 1 <= len(data) <= MAX_FRAME_BYTES:
            raise ValueError(f"frame of {len(data)} bytes: a peer takes 1 to {MAX_FRAME_BYTES}")
        self._sent += len(data)
        self._to_loop.post(self._send, data, order)

    def admit(self) -> None:
        self._to_loop.post(self._call, lambda session: session.admit())

    def ice_snapshot(self) -> None:
        """It is the other thread's."""

    def turn_path(self) -> None:
        """So is this."""

    def when_drained(self, callback: Callable[[], None]) -> None:
        def drained() -> None:
            if not self._closed:
                callback()

        self._to_loop.post(self._call, lambda session: session.when_drained(lambda: self._to_trio.post(drained)))

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._to_loop.post(self._call, lambda session: session.close())

    def _deliver_event(self, event: LinkEvent) -> None:
        from myownmesh.engine.links import ChannelClosed, ChannelOpened

        if isinstance(event, ChannelOpened):
            self._open = True
        elif isinstance(event, ChannelClosed):
            self._open = False
        if not self._closed:
            self._on_event(event)

    def _deliver_frame(self, data: bytes) -> None:
        if not self._closed:
            self._on_frame(data)

    # On the loop's thread.

    def attach(self, factory: AiortcFactory, *, offerer: bool, ice_servers: tuple[IceServer, ...]) -> None:
        self._inner = factory.open(
            offerer=offerer,
            ice_servers=ice_servers,
            on_event=lambda event: self._to_trio.post(self._deliver_event, event),
            on_frame=lambda data: self._to_trio.post(self._deliver_frame, data),
        )

    def _call(self, act: Callable[[Session], None]) -> None:
        if self._inner is not None:
            act(self._inner)

    def _send(self, data: bytes, order: Order) -> None:
        self._taken += len(data)
        if self._inner is None:
            return
        try:
            self._inner.send(data, order)
        except (SessionNotOpen, ValueError) as error:
            log.debug("frame lost on its way to the transport: %s", error)


class ThreadedFactory:
    """The `SessionFactory` of a plain trio program; made by `open_threaded_factory`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, token: trio.lowlevel.TrioToken) -> None:
        self._to_loop = _Mailbox(loop.call_soon_threadsafe)
        self._to_trio = _Mailbox(token.run_sync_soon)
        self._loop = loop
        self._inner: AiortcFactory | None = None
        self._sessions: WeakSet[ThreadedSession] = WeakSet()
        self._pulse: _Pulse | None = None

    def open(
        self,
        *,
        offerer: bool,
        ice_servers: tuple[IceServer, ...],
        on_event: Callable[[LinkEvent], None],
        on_frame: Callable[[bytes], None],
    ) -> ThreadedSession:
        session = ThreadedSession(self._to_loop, self._to_trio, on_event, on_frame)
        self._sessions.add(session)
        self._to_loop.post(self._attach, session, offerer, ice_servers)
        return session

    async def aclose(self) -> None:
        """Close what is open, within 2 s."""
        inner = self._inner
        if inner is None:
            return
        for session in list(self._sessions):
            session.close()
        done = trio.Event()

        def close() -> None:
            inner.close_all()
            task = self._loop.create_task(inner.wait_closed())
            task.add_done_callback(lambda _: self._to_trio.post(done.set))

        self._to_loop.post(close)
        with trio.CancelScope(shield=True), trio.move_on_after(STOP_SECONDS):
            await done.wait()

    def _attach(self, session: ThreadedSession, offerer: bool, ice_servers: tuple[IceServer, ...]) -> None:
        assert self._inner is not None
        session.attach(self._inner, offerer=offerer, ice_servers=ice_servers)
        if self._pulse is None:
            self._pulse = _Pulse(self._loop, self._inner, self._to_trio, self._to_loop)
        self._pulse.go_on()

    async def start(self, factory_class: type[AiortcFactory], relay_sources: Callable[[], Collection[str]]) -> None:
        """Make the factory on the loop's thread; returns once that thread has answered."""
        ready = trio.Event()

        def start() -> None:
            self._inner = factory_class(self._loop, relay_sources)
            self._to_trio.post(ready.set)

        self._to_loop.post(start)
        await ready.wait()


class _Pulse:
    """Sees on the loop's thread whether trio runs, as long as there are sessions."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, factory: AiortcFactory, to_trio: _Mailbox, to_loop: _Mailbox
    ) -> None:
        self._loop = loop
        self._factory = factory
        self._to_trio = to_trio
        self._to_loop = to_loop
        self._asked_at: float | None = None
        """Since when an answer is due."""
        self._is_still = False
        self._timer: asyncio.TimerHandle | None = None

    def go_on(self) -> None:
        """There is a session."""
        if self._timer is None:
            self._timer = self._loop.call_later(PULSE_SECONDS, self._beat)

    def _beat(self) -> None:
        self._timer = None
        now = self._loop.time()
        if self._asked_at is None:
            self._asked_at = now
            self._to_trio.post(self._to_loop.post, self._answered)
        elif now - self._asked_at >= STILL_SECONDS and not self._is_still:
            self._is_still = True
            self._factory.stand_still(still=True)
        if self._factory.has_sessions or self._is_still:
            self.go_on()

    def _answered(self) -> None:
        self._asked_at = None
        if self._is_still:
            self._is_still = False
            self._factory.stand_still(still=False)


@asynccontextmanager
async def open_threaded_factory(
    relay_sources: Callable[[], Collection[str]] = tuple,
) -> AsyncIterator[ThreadedFactory]:
    """Run the WebRTC loop in a helper thread for the length of the block and yield its factory.

    `relay_sources`, which is called in that thread, tells which addresses of this machine the connections to the relays
    come from just now: they are offered to peers before others. Sessions that are still open at the end are closed.
    """
    factory_class = await trio.to_thread.run_sync(import_backend)
    loop = new_event_loop()
    factory = ThreadedFactory(loop, trio.lowlevel.current_trio_token())
    thread = threading.Thread(target=_run_loop, args=(loop,), name="myownmesh-transport", daemon=True)
    thread.start()
    try:
        await factory.start(factory_class, relay_sources)
        yield factory
    finally:
        await factory.aclose()
        loop.call_soon_threadsafe(loop.stop)
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(thread.join, STOP_SECONDS)


def _run_loop(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
        pending = asyncio.all_tasks(loop)
        for task in pending:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*pending, return_exceptions=True))
    finally:
        asyncio.set_event_loop(None)
        loop.close()
