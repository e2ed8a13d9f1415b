"""What an engine keeps of signed governance, in a recording: as it was, and as an engine that plays it has it."""

from __future__ import annotations

from collections import deque
from copy import copy
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec.structs import replace

from mesh_common.values import Value
from myownmesh.engine.government import Government
from myownmesh.engine.governor import Governor
from myownmesh.governance.signatures import Checks
from myownmesh.identity.keys import SIGNATURE_BYTES
from myownmesh.protocol import base32

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from myownmesh.engine.carrying import TakenIn
    from myownmesh.engine.core import Core
    from myownmesh.governance.authoring import Done
    from myownmesh.governance.book import Book
    from myownmesh.governance.carried import Carried
    from myownmesh.protocol.clock import Instant

_KEPT: Final = (
    "contact", "clicked", "missing_since", "heard", "is_down", "kind_is_stored", "logs_told", "letters", "unanswered",
    "let_in_again", "wanted_words", "behind", "refused_at", "now", "failed", "denied",
)  # fmt: skip
"""Beside book and checks; not what waits for others' callbacks, nor work under way: a piece begins when none is."""


_SAID_BYTES: Final = 16

Good = tuple[str, str, str]
"""Who signed, the text of the signature, and over what (`said`)."""


def said(payload: bytes) -> str:
    """Stands for the words that were signed."""
    return base32.encode(sha256(payload).digest()[:_SAID_BYTES])


Shared = tuple[bool, bool, bool]
"""The whole book, its log, its member log."""


class Governed(Value, frozen=True):
    """A moment of it."""

    book: Book
    good: Mapping[str, tuple[str, bytes]]
    """Of `Checks`."""
    kept: Mapping[str, Any] = msgspec.field(default_factory=dict)

    @classmethod
    def of(cls, government: Government) -> Governed:
        """As it is now; nothing of it changes any more."""
        kept = {name: _still(getattr(government, name)) for name in _KEPT}
        return cls(government.book, dict(government.checks.good), kept)

    def again(self, good: frozenset[Good]) -> Government:
        """As it was; of signatures these are good."""
        government = Government(self.book)
        government.checks = Recorded(self.book.network_id, good)
        government.checks.good.update(self.good)
        for name, value in self.kept.items():
            setattr(government, name, value)
        return government


def _still(value: Any) -> Any:
    """A value of a government that does not change with it."""
    if isinstance(value, dict):
        made = copy(value)
        made.update((name, copy(each)) for name, each in value.items())
        return made
    return copy(value) if isinstance(value, set | deque) else value


class Recorded(Checks):
    """Knows which signatures are good instead of checking them."""

    __slots__ = ("_all",)

    def __init__(self, network_id: str, good: frozenset[Good]) -> None:
        super().__init__(network_id)
        self._all = good

    def verify_signed(self, signed: Sequence[tuple[bytes, bytes]]) -> list[bool]:
        self.count += len(signed)
        return [self._is_one(key, message) for key, message in signed]

    def _is_one(self, key: bytes, message: bytes) -> bool:
        text, payload = base32.encode(message[:SIGNATURE_BYTES]), message[SIGNATURE_BYTES:]
        return (base32.encode(key), text, said(payload)) in self._all


class Hand(Governor):
    """A governor whose commands are kept before they act, without what others wait for."""

    __slots__ = ("_hand", "_note")

    def __init__(self, core: Core, note: Callable[[str, tuple[object, ...], Instant], None]) -> None:
        super().__init__(core)
        self._hand = Governor(core)
        self._note = note

    def begin(self, book: Book, inviters: Collection[str], now: Instant) -> None:
        self._note("begin", (book, frozenset(inviters)), now)
        self._hand.begin(book, inviters, now)

    def act(self, done: Done, now: Instant) -> None:
        self._note("act", (done, _shared(done.book, self.book)), now)
        self._hand.act(done, now)

    def take(self, book: Book, now: Instant, about: Collection[str] = ()) -> None:
        self._note("take", (book, _shared(book, self.book), frozenset(about)), now)
        self._hand.take(book, now, about)

    def click(self, device_id: str, now: Instant) -> None:
        self._note("click", (device_id,), now)
        self._hand.click(device_id, now)

    def ask_everybody(self, on_heard: Callable[[], None], now: Instant) -> None:
        self._note("ask_everybody", (), now)
        self._hand.ask_everybody(on_heard, now)

    def take_in(self, carried: Carried, on_done: Callable[[TakenIn], None], now: Instant) -> bool:
        self._note("take_in", (carried,), now)
        return self._hand.take_in(carried, on_done, now)


def command(governor: Governor, name: str, args: tuple[Any, ...], now: Instant) -> None:
    """Do one that was kept. Raises `KeyError` for another name, `TypeError` for other arguments."""
    _COMMANDS[name](governor, now, *args)


def _act(governor: Governor, now: Instant, done: Done, shared: Shared) -> None:
    governor.act(replace(done, book=_joined(done.book, governor.book, shared)), now)


def _take(governor: Governor, now: Instant, book: Book, shared: Shared, about: Collection[str]) -> None:
    governor.take(_joined(book, governor.book, shared), now, about)


def _shared(book: Book, held: Book) -> Shared:
    """Which parts a book has in common with the one that is held: whoever compares two looks at that."""
    return book is held, book.log is held.log, book.members is held.members


def _joined(book: Book, held: Book, shared: Shared) -> Book:
    whole, log, members = shared
    if whole:
        return held
    if log:
        book = replace(book, branch=replace(book.branch, log=held.log))
    return replace(book, members=held.members) if members else book


_COMMANDS: Final[Mapping[str, Callable[..., None]]] = {
    "begin": lambda governor, now, book, inviters: governor.begin(book, inviters, now),
    "act": _act,
    "take": _take,
    "click": lambda governor, now, device_id: governor.click(device_id, now),
    "ask_everybody": lambda governor, now: governor.ask_everybody(lambda: None, now),
    "take_in": lambda governor, now, carried: governor.take_in(carried, lambda _: None, now) and None,
}
