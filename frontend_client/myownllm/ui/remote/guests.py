"""The browsers that were paired: who is here, who was put out, and who may come in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import trio

from myownllm.remote.state import Guest
from myownllm.ui.failures import UiError
from myownllm.ui.sessions import hash_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from myownllm.coerce import JsonObject
    from myownllm.ui.sessions import Session, Sessions

GONE_S: Final = 15.0
"""A browser that was not heard of for so long is away; its page says that it is here every five seconds."""
LOOK_S: Final = 3.0
KICKED_S: Final = 30.0
"""Whom somebody has put out is told so for that long; then he needs a code like everybody."""


class KickedError(UiError):
    """The browser was put out a moment ago."""

    def __init__(self) -> None:
        super().__init__(403, "kicked", "this browser was put out by the person at the other screen")

    @property
    def body(self) -> JsonObject:
        """As the reference's pages read it (spec 08 FE-10.4)."""
        return {"error": "kicked"}


class Guests:
    """Made once per run of the remote screen; `run` must be running. Times are trio's, in seconds."""

    def __init__(self, sessions: Sessions, changed: Callable[[], None]) -> None:
        self._sessions, self._changed = sessions, changed
        self._seen: dict[str, tuple[str, float]] = {}
        """address and time, by session"""
        self._kicked: dict[str, float] = {}
        self._somebody = trio.Event()
        self._shown: tuple[Guest, ...] = ()

    def seen(self, session: Session, address: str) -> None:
        """A request of its page came from that address."""
        self._seen[session.id] = (address, trio.current_time())
        self._somebody.set()
        self._look()

    def rows(self) -> tuple[Guest, ...]:
        """Every browser that may come in, those that are here first."""
        sessions = self._sessions.all()
        self._seen = {s.id: self._seen[s.id] for s in sessions if s.id in self._seen}
        now = trio.current_time()
        rows = []
        for session in sessions:
            address, at = self._seen.get(session.id, ("", -GONE_S))
            rows.append(Guest(session.id, address, now - at < GONE_S))
        return tuple(sorted(rows, key=lambda guest: not guest.is_here))

    def kick(self, guest_id: str | None) -> list[Session]:
        """Put one out, or all; returns them. Saving the sessions is the caller's."""
        now = trio.current_time()
        self._kicked = {cookie: until for cookie, until in self._kicked.items() if until > now}
        ended = [s for s in self._sessions.all() if guest_id in (None, s.id)]
        for session in ended:
            self._kicked[session.cookie_hash] = now + KICKED_S
            self._sessions.end(session)
        self._look()
        return ended

    def refuse_kicked(self, cookie: str) -> None:
        """Raises KickedError for a browser that was put out a moment ago."""
        if self._kicked.get(hash_of(cookie), 0.0) > trio.current_time():
            raise KickedError

    async def run(self) -> None:
        """Notice who has left, until cancelled; while nobody is here nothing is looked at."""
        while True:
            await self._somebody.wait()
            await trio.sleep(LOOK_S)
            self._look()
            if not any(guest.is_here for guest in self._shown):
                self._somebody = trio.Event()

    def _look(self) -> None:
        rows = self.rows()
        if rows != self._shown:
            self._shown = rows
            self._changed()
