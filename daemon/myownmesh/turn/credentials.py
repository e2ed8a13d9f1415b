"""Who may have something relayed: passwords that stay, passwords that end, and nonces that nobody has to remember.

Spec 06 §7.2, F and M; RFC 8489 §9.2.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import TYPE_CHECKING, Final

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from myownmesh.protocol.clock import Instant

NONCE_S: Final = 3600
_STAMP_CHARS, _MARK_CHARS = 8, 24
_MAX_USERNAME: Final = 513
"""Bytes; RFC 8489 §14.3."""
_MAX_EXPIRY_DIGITS: Final = 12


Account = tuple[str, bool]
"""Who a user is for quotas and ownership: a name with a password that stays, or (True) the label of time-limited names,
so that a renewed one is the same user."""


class User(Struct, frozen=True):
    """Somebody who proved a password."""

    account: Account
    key: bytes


class Credentials:
    """The passwords of one server."""

    def __init__(
        self,
        realm: str,
        passwords: Mapping[str, str],
        secret: str | None,
        labels: Collection[str] | None = None,
    ) -> None:
        """`secret`: what time-limited passwords are made with; None: there are none. `labels`: whose are good; None:
        anybody's."""
        self._realm = realm
        self._secret = secret
        self._labels = None if labels is None else set(labels)
        self._static = {name: User((name, False), long_term_key(name, realm, word)) for name, word in passwords.items()}

    def admit(self, labels: Collection[str]) -> None:
        """Time-limited names with these labels are good from now on."""
        if self._labels is not None:
            self._labels |= set(labels)

    def expel(self, labels: Collection[str]) -> None:
        """They are good no more, whatever time they say."""
        if self._labels is not None:
            self._labels -= set(labels)

    def find(self, username: bytes, now: Instant, held: bytes | None = None) -> User | None:
        """The user of this name with the key of its password; None when nobody has it, or no longer.

        `held`: the key that the asking client's allocation was made with. A link may live longer than a password, so
        whoever holds one may go on with it.
        """
        if len(username) > _MAX_USERNAME:
            return None
        try:
            name = username.decode()
        except UnicodeDecodeError:
            return None
        if (user := self._static.get(name)) is not None:
            return user
        expiry, _, label = name.partition(":")
        if self._secret is None or not (expiry.isascii() and expiry.isdigit()) or len(expiry) > _MAX_EXPIRY_DIGITS:
            return None
        if self._labels is not None and label not in self._labels:
            return None
        key = long_term_key(name, self._realm, limited_password(self._secret, name))
        if int(expiry) * 1000 <= now.wall_ms and key != held:
            return None
        return User((label, True), key)


def long_term_key(username: str, realm: str, password: str) -> bytes:
    return hashlib.md5(f"{username}:{realm}:{password}".encode(), usedforsecurity=False).digest()


def limited_password(secret: str, username: str) -> str:
    """The password of the time-limited user name `<Unix seconds>:<label>`."""
    return base64.b64encode(hmac.digest(secret.encode(), username.encode(), hashlib.sha1)).decode()


class Nonces:
    """A nonce is its moment and our mark on it, for one client; none is stored, and none helps another client."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def make(self, client: tuple[object, ...], now: Instant) -> bytes:
        stamp = b"%08x" % (int(now.mono) & 0xFFFFFFFF)
        return stamp + self._mark(stamp, client)

    def is_good(self, nonce: bytes, client: tuple[object, ...], now: Instant) -> bool:
        stamp, mark = nonce[:_STAMP_CHARS], nonce[_STAMP_CHARS:]
        if not hmac.compare_digest(mark, self._mark(stamp, client)):
            return False
        return int(now.mono) - int(stamp, 16) < NONCE_S

    def _mark(self, stamp: bytes, client: tuple[object, ...]) -> bytes:
        whom = repr(client).encode()
        return hmac.digest(self._secret, stamp + whom, hashlib.sha256).hex()[:_MARK_CHARS].encode()
