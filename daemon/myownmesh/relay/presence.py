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


class Elsewhere:
    """Another relay, by which devices are present as they are by a connection of this one."""


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

    def announced(self, connection: Hashable, pair: Pair, stored: Stored) -> bool:
        """The newest announcer of a pair is the one that joiners hear. Over the limits nothing is remembered.

        True when the connection had not announced it before.
        """
        room, device = pair
        held = self._held.setdefault(connection, set())
        most = PAIRS if isinstance(connection, Elsewhere) else PAIRS_PER_CONNECTION
        if pair not in held and (len(held) >= most or self._pairs >= PAIRS):
            return False
        self._leaving.pop(pair, None)
        entries = self._rooms.setdefault(room, {}).setdefault(device, {})
        is_new = entries.pop(connection, None) is None
        self._pairs += is_new
        entries[connection] = stored  # the newest stands last
        held.add(pair)
        return is_new

    def left(self, connection: Hashable, pair: Pair, pubkey: str) -> bool:
        """A device's own leave: it counts for the connection and key that announced the device.

        True when it does; nobody needs to be told, since the leave itself went round.
        """
        if pair not in self._held.get(connection, ()):
            return False
        if self._rooms[pair[0]][pair[1]][connection].event.pubkey != pubkey:
            return False
        self._held[connection].discard(pair)
        self._drop(connection, pair)
        return True

    def ended(self, connection: Hashable, now: float) -> list[Pair]:
        """The connection is gone. Returns the pairs that nobody holds any more; their leave is due in 6 s."""
        gone = self.released(connection, self.held_by(connection))
        for pair in gone:
            self.expect_leave(pair, now)
        return gone

    def released(self, connection: Hashable, pairs: Iterable[Pair]) -> list[Pair]:
        """A connection holds these no more. Returns those that nobody holds; they have left, and nothing is due."""
        held = self._held.get(connection, set())
        gone = []
        for pair in pairs:
            if pair in held:
                held.discard(pair)
                if self._drop(connection, pair):
                    gone.append(pair)
        if not held:
            self._held.pop(connection, None)
        return gone

    def expect_leave(self, pair: Pair, now: float) -> None:
        """Whoever left it may be back within 6 s."""
        self._leaving[pair] = now + LEAVE_DELAY_S

    def held_by(self, connection: Hashable) -> list[Pair]:
        return sorted(self._held.get(connection, ()))

    def is_present(self, pair: Pair) -> bool:
        return pair[1] in self._rooms.get(pair[0], {})

    def here(self, pair: Pair) -> Stored | None:
        """The newest announce by a connection of this relay."""
        entries = self._rooms.get(pair[0], {}).get(pair[1], {})
        return next((entries[each] for each in reversed(entries) if not isinstance(each, Elsewhere)), None)

    def all_here(self) -> list[Stored]:
        """The newest announce of every device that is connected to this relay itself."""
        pairs = [(room, device) for room, devices in self._rooms.items() for device in devices]
        return [found for pair in pairs if (found := self.here(pair)) is not None]

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
