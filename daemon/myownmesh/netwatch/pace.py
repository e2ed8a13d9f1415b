"""When to look after a notice, and how often a change may be passed on. Pure; the last change is never lost.

Interfaces that come and go ten times a second cost a few looks and a change every five seconds; when they rest, what is
left of it is passed on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from myownmesh.engine.moves import Move
from myownmesh.netwatch.snapshot import judge
from myownmesh.protocol.tokens import TokenBucket

if TYPE_CHECKING:
    from myownmesh.netwatch.snapshot import Snapshot

SETTLE_S: Final = 0.1
"""Notices come in bursts (link, address, routes): the look waits until they rest this long."""
MAX_SETTLE_S: Final = 0.5
"""But not longer than this, whatever still comes."""
MAX_GAP_S: Final = 2.0
"""Between looks that find nothing while notices go on, as on a machine whose routes are a router's."""
CHANGES_BURST: Final = 3.0
CHANGES_PER_S: Final = 0.2
"""A cable that is pulled, Wi-Fi that takes over and its address that comes are three changes. More of them wait for
their turn, the 5 s of the reference (NETWORK_COOLDOWN), and are not forgotten."""
_MAX_IN_VAIN: Final = 8
"""Looks in vain are counted so far."""


class Change(NamedTuple):
    """What is to be passed on: how it was when something was passed on last, and is now."""

    move: Move
    before: Snapshot
    after: Snapshot

    def told(self) -> dict[str, object]:
        """For diagnostics."""
        return {"prev": self.before.told(), "next": self.after.told()}


class Pace:
    """Told of notices and looks; `due` says when to look next."""

    def __init__(self, now: float) -> None:
        self._handled: Snapshot | None = None
        """What has been passed on; changes are counted from there."""
        self._first_notice: float | None = None
        self._look_at: float | None = now
        self._looked_at = now
        self._not_before = now
        """A look before this could pass nothing on."""
        self._in_vain = 0
        self._bucket = TokenBucket(CHANGES_PER_S, CHANGES_BURST, now)

    @property
    def due(self) -> float | None:
        """When to look; None when nothing has happened since the last look."""
        return self._look_at

    def noticed(self, now: float) -> None:
        """Something has changed, or may have."""
        if self._first_notice is None:
            self._first_notice = now
            if now - self._looked_at > MAX_GAP_S:
                self._in_vain = 0
        at = min(now + SETTLE_S, self._first_notice + MAX_SETTLE_S)
        self._look_at = max(at, self._not_before, self._looked_at + min(SETTLE_S * 2**self._in_vain, MAX_GAP_S))

    def looked(self, seen: Snapshot, now: float) -> Change | None:
        """The look shows this; returns what is to be passed on now."""
        self._first_notice = self._look_at = None
        self._looked_at = now
        before = self._handled
        if before is None:
            self._handled = seen
            return Change(Move.OFFLINE, seen, seen) if seen.is_offline else None
        move = judge(before, seen)
        if move is None:
            self._in_vain = min(self._in_vain + 1, _MAX_IN_VAIN)
            return None
        self._in_vain = 0
        if move is not Move.OFFLINE and not self._bucket.take(now):
            self._look_at = self._not_before = self._bucket.ready_at(now)
            return None
        self._handled = seen
        return Change(move, before, seen)
