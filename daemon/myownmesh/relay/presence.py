"""Who is in which room, by the connections that announced them (spec 03 §19.4, §23-D). Pure."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

    from myownmesh.relay.store import Stored

LEAVE_DELAY_S = 6.0
"""A socket that flaps, or a proxy that restarts, is back before anybody is told that its devices left."""
PAIRS_PER_CONNECTION = 256
PAIRS = 65536

Pair = tuple[str, str]
"""(room, device)"""


class Presence:
    """One entry per room, device and connection; a device is gone when its last entry is."""

    def __init__(self) -> None:
        self._rooms: dict[str, dict[str, dict[Hashable, Stored]]] = {}
        self._held: dict[Hashable, set[Pair]] = {}
        self._leaving: OrderedDict[Pair, float] = OrderedDict()
        self._pairs = 0

    @property
    def rooms(self) -> int:
        """Rooms with at least one live member."""
        return len(self._rooms)

    def announced(self, connection: Hashable, pair: Pair, stored: Stored) -> None:
        """The newest announcer of a pair is the one that joiners hear. Over the limits nothing is remembered."""
        room, device = pair
        held = self._held.setdefault(connection, set())
        if pair not in held and (len(held) >= PAIRS_PER_CONNECTION or self._pairs >= PAIRS):
            return
        self._leaving.pop(pair, None)
        entries = self._rooms.setdefault(room, {}).setdefault(device, {})
        self._pairs += entries.pop(connection, None) is None
        entries[connection] = stored  # the newest stands last
        held.add(pair)

    def left(self, connection: Hashable, pair: Pair, pubkey: str) -> bool:
        """A device's own leave: it counts for the connection and key that announced the device.

        True when the device has no entry left; nobody needs to be told, since the leave itself went round.
        """
        if pair not in self._held.get(connection, ()):
            return False
        if self._rooms[pair[0]][pair[1]][connection].event.pubkey != pubkey:
            return False
        self._held[connection].discard(pair)
        return self._drop(connection, pair)

    def ended(self, connection: Hashable, now: float) -> list[Pair]:
        """The connection is gone. Returns the pairs that nobody holds any more; their leave is due in 6 s."""
        gone = [pair for pair in sorted(self._held.pop(connection, ())) if self._drop(connection, pair)]
        for pair in gone:
            self._leaving[pair] = now + LEAVE_DELAY_S
        return gone

    def next_leave(self) -> float | None:
        return next(iter(self._leaving.values()), None)

    def take_leaves(self, now: float) -> list[Pair]:
        """The pairs whose delay is over and that were not announced again."""
        due: list[Pair] = []
        for pair, at in self._leaving.items():
            if at > now:
                break
            due.append(pair)
        for pair in due:
            del self._leaving[pair]
        return due

    def newest(self, rooms: Iterable[str]) -> list[Stored]:
        """The newest announce of every device in these rooms."""
        return [next(reversed(entries.values())) for room in rooms for entries in self._rooms.get(room, {}).values()]

    def everyone(self) -> list[Stored]:
        return self.newest(list(self._rooms))

    def _drop(self, connection: Hashable, pair: Pair) -> bool:
        room, device = pair
        devices = self._rooms[room]
        del devices[device][connection]
        self._pairs -= 1
        if devices[device]:
            return False
        del devices[device]
        if not devices:
            del self._rooms[room]
        return True
