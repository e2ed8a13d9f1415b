"""Opens sessions on the running asyncio loop and watches all of them with one timer."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from myownmesh.transport.aiortc_session import AiortcSession
from myownmesh.transport.certificate import Certificate
from myownmesh.transport.resolving import Resolver
from myownmesh.transport.servers import split_servers
from myownmesh.transport.windows import WindowBudget

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from myownmesh.engine.links import LinkEvent
    from myownmesh.transport.session import IceServer

log = logging.getLogger(__name__)

TICK_SECONDS = 0.5
"""A dead path is noticed at most this much late. While every path has been heard of lately the timer rests longer: a
wake-up of a process that is asleep costs a fifth of a millisecond."""
FROZEN_SECONDS = 2.0
"""A tick that comes this late means that we did not run; nobody else is to blame for the silence."""
CLOSE_SECONDS = 2.0


class AiortcFactory:
    """The `SessionFactory` of a loop's thread. Use it on that thread only."""

    def __init__(self, loop: asyncio.AbstractEventLoop, relay_sources: Callable[[], Collection[str]] = tuple) -> None:
        """`relay_sources` tells which addresses of this machine the connections to the relays come from just now."""
        self._loop = loop
        self._relay_sources = relay_sources
        self._resolver = Resolver(loop)
        self._windows = WindowBudget()
        self._sessions: set[AiortcSession] = set()
        self._closing: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._tick_due = 0.0
        self._still = False

    def open(
        self,
        *,
        offerer: bool,
        ice_servers: tuple[IceServer, ...],
        on_event: Callable[[LinkEvent], None],
        on_frame: Callable[[bytes], None],
    ) -> AiortcSession:
        stun_servers, turn_servers = split_servers(ice_servers)
        session = AiortcSession(
            self._loop,
            Certificate(),
            offerer=offerer,
            stun_servers=stun_servers,
            turn_servers=turn_servers,
            resolver=self._resolver,
            windows=self._windows,
            relay_sources=self._relay_sources,
            on_event=on_event,
            on_frame=on_frame,
            on_closed=self._forget,
        )
        self._sessions.add(session)
        if self._timer is None or self._tick_due > self._loop.time() + TICK_SECONDS:
            self._tick_after(TICK_SECONDS)
        return session

    @property
    def has_sessions(self) -> bool:
        return bool(self._sessions)

    def stand_still(self, *, still: bool) -> None:
        """Whoever reads the frames does not run: answer nobody meanwhile, so that peers see a process that stands
        still, and blame none of them for that time."""
        self._still = still
        for session in list(self._sessions):
            session.stand_still(still=still)
            if not still:
                session.forgive_silence(self._loop.time())

    def close_all(self) -> None:
        """Close what is open; the closing goes on in the background, at most 2 s."""
        for session in list(self._sessions):
            session.close()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def wait_closed(self) -> None:
        """asyncio: wait for the background closing."""
        if self._closing:
            await asyncio.wait(set(self._closing), timeout=CLOSE_SECONDS)

    def _forget(self, session: AiortcSession, closing: list[asyncio.Task[None]]) -> None:
        self._sessions.discard(session)
        for task in closing:
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    def _tick(self) -> None:
        self._timer = None
        now = self._loop.time()
        if self._still:
            self._tick_after(TICK_SECONDS)
            return
        frozen = now - self._tick_due > FROZEN_SECONDS
        quiet: list[float] = []
        for session in list(self._sessions):
            if frozen:
                session.forgive_silence(now)
            quiet.append(session.tick(now))
        if self._sessions:
            self._tick_after(max(TICK_SECONDS, min(quiet)))

    def _tick_after(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._tick_due = self._loop.time() + seconds
        self._timer = self._loop.call_later(seconds, self._tick)
