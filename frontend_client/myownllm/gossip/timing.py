"""When to tell peers: once to each that comes, once per burst of changes (spec 08 FE-7.10, FE-7.11, FE-12.42). Pure.

Times are seconds of the caller's clock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection

REFRESH_S: Final = 60.0
"""Between two publications of everything (FE-7.9)."""
CATCH_UP_SPACING_S: Final = 5.0
"""Between two catch-ups of a peer that flaps; the second one is late, not lost."""
DEBOUNCE_S: Final = 0.5
"""A catalog is published when it has been still for so long (FE-7.11)."""
DEBOUNCE_MAX_S: Final = 5.0
"""A burst that never pauses is published that often all the same."""
REMINDERS_MAX: Final = 500
"""Different things to be said within an hour; further ones are not worth a line."""


class CatchUps:
    """Which active peers have been told everything."""

    def __init__(self, active: Collection[str] = ()) -> None:
        self.seen = set(active)
        """told everything, and active ever since"""
        self._served_at: dict[str, float] = {}

    def look(self, active: Collection[str], now: float) -> tuple[str, ...]:
        """The peers to tell now, given those that are active; they count as told. Who left is forgotten."""
        self.seen &= set(active)
        self._served_at = {
            peer: at for peer, at in self._served_at.items() if peer in self.seen or now - at < CATCH_UP_SPACING_S
        }
        due = tuple(sorted(peer for peer in active if peer not in self.seen and self._ready_at(peer) <= now))
        self.seen.update(due)
        self._served_at.update(dict.fromkeys(due, now))
        return due

    def forget(self, peer: str) -> None:
        """It says that it knows nothing: the next look tells it again, if it is active."""
        self.seen.discard(peer)

    def next_look(self, active: Collection[str]) -> float | None:
        """When the next peer is due although nothing happens; None when nobody waits."""
        return min((self._ready_at(peer) for peer in active if peer not in self.seen), default=None)

    def _ready_at(self, peer: str) -> float:
        at = self._served_at.get(peer)
        return 0.0 if at is None else at + CATCH_UP_SPACING_S


class Debounce:
    """The trailing edge of a burst."""

    def __init__(self) -> None:
        self._first: float | None = None
        self._last = 0.0

    def poke(self, now: float) -> None:
        """Something changed."""
        self._first = now if self._first is None else self._first
        self._last = now

    @property
    def due(self) -> float | None:
        """When to publish; None when nothing has changed."""
        return None if self._first is None else min(self._last + DEBOUNCE_S, self._first + DEBOUNCE_MAX_S)

    def clear(self) -> None:
        """It was published, or there is nobody to tell any more."""
        self._first = None


class Reminders:
    """What is said again and again is said once per while."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}

    def may_say(self, what: str, now: float, *, every_s: float) -> bool:
        """Is it time to say it? Then not again before `every_s` seconds have passed."""
        self._until = {known: until for known, until in self._until.items() if until > now}
        if what in self._until or len(self._until) >= REMINDERS_MAX:
            return False
        self._until[what] = now + every_s
        return True
