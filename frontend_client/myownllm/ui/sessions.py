"""Who may use the screen: links that work once, and the sessions that they are traded for.

A session is two secrets of one browser: a cookie that scripts cannot read, and a word in the storage of our origin.
Cookies go to every port of this machine, so neither suffices alone. Only hashes are kept, in a private file; so tabs
go on after a restart of the app, and whoever reads the file cannot enter.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import TYPE_CHECKING, Final

import attrs
import msgspec
import trio

from myownllm.files import read_json, write_durably

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

IDLE_S: Final = 30 * 86_400
"""A session that nobody used for so long is over."""
SESSIONS_MAX: Final = 32
"""Browsers and profiles of one person; one more ends the one that was used longest ago."""
LINK_S: Final = 3600
"""For a person to follow a link."""
LINKS_MAX: Final = 16
NOTED_S: Final = 86_400
"""How exact the moment of the last use is kept."""


@attrs.frozen
class Keys:
    """What a browser gets for a link."""

    cookie: str = attrs.field(repr=False)
    secret: str = attrs.field(repr=False)


@attrs.define(eq=False)
class Session:
    """One browser."""

    cookie_hash: str
    secret_hash: str
    used_s: int
    ended: trio.Event = attrs.field(factory=trio.Event)

    @property
    def id(self) -> str:
        """Its name for people."""
        return self.cookie_hash[:8]

    def end(self) -> None:
        self.ended.set()


class _Kept(msgspec.Struct):
    """A session in the file."""

    cookie_hash: str
    secret_hash: str
    used_s: int


class Sessions:
    """Made once per screen. `now_s` is seconds since the epoch."""

    def __init__(self, file: Path, now_s: Callable[[], float]) -> None:
        self._file, self._now_s = file, now_s
        self.tabs = 0
        """That are open now, of all browsers."""
        self._links: dict[str, float] = {}
        self._sessions = {s.cookie_hash: s for s in _read(file) if s.used_s + IDLE_S > now_s()}

    def link_token(self) -> str:
        """A word that is worth one session, within the hour."""
        now = self._now_s()
        self._links = {word: until for word, until in self._links.items() if until > now}
        while len(self._links) >= LINKS_MAX:
            del self._links[next(iter(self._links))]
        token = secrets.token_urlsafe(24)
        self._links[hash_of(token)] = now + LINK_S
        return token

    def redeem(self, token: str) -> Keys | None:
        """A session for a link; None for one that was used, is too old, or never was. `save` makes it last."""
        if self._links.pop(hash_of(token), 0) <= self._now_s():
            return None
        return self.begin()

    def begin(self) -> Keys:
        """A session for a browser that has shown that it may have one. `save` makes it last."""
        keys = Keys(secrets.token_urlsafe(24), secrets.token_urlsafe(24))
        session = Session(hash_of(keys.cookie), hash_of(keys.secret), int(self._now_s()))
        self._sessions[session.cookie_hash] = session
        while len(self._sessions) > SESSIONS_MAX:
            self._forget(min(self._sessions.values(), key=lambda s: s.used_s))
        return keys

    def find(self, cookie: str, secret: str) -> Session | None:
        """The session that has both; a use of it."""
        session = self._sessions.get(hash_of(cookie))
        if session is None or not hmac.compare_digest(session.secret_hash, hash_of(secret)):
            return None
        now = int(self._now_s())
        if session.used_s + IDLE_S <= now:
            self._forget(session)
            return None
        if session.used_s + NOTED_S <= now:
            session.used_s = now
            self.save()  # once a day
        return session

    def has_cookie(self, cookie: str) -> bool:
        """Is it one of ours? Enough to be asked for the other half, and for nothing else."""
        return hash_of(cookie) in self._sessions

    def revoke(self) -> int:
        """End every session and every link; returns how many sessions there were. `save` makes it last."""
        self._links.clear()
        count = len(self._sessions)
        for session in tuple(self._sessions.values()):
            self._forget(session)
        return count

    def all(self) -> tuple[Session, ...]:
        return tuple(self._sessions.values())

    def end(self, session: Session) -> None:
        """Its browser has to come in anew. `save` makes it last."""
        if self._sessions.get(session.cookie_hash) is session:
            self._forget(session)

    def _forget(self, session: Session) -> None:
        del self._sessions[session.cookie_hash]
        session.end()

    def save(self) -> None:
        """Write the file. Blocking; raises OSError."""
        kept = [_Kept(s.cookie_hash, s.secret_hash, s.used_s) for s in list(self._sessions.values())]
        write_durably(self._file, msgspec.json.encode(kept) + b"\n")


def hash_of(word: str) -> str:
    """The words are random and long, so a plain hash cannot be turned back."""
    return hashlib.sha256(word.encode(errors="replace")).hexdigest()


def _read(file: Path) -> list[Session]:
    try:
        kept = msgspec.convert(read_json(file), list[_Kept])
    except msgspec.ValidationError:
        return []
    return [Session(k.cookie_hash, k.secret_hash, k.used_s) for k in kept[:SESSIONS_MAX]]
