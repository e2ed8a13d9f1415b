"""Which exchange connection leads to which device (spec 03 §18.3, §23-S).

A connection that we dialled leads to whom we dialled. One that somebody else opened leads to whoever its first line
names, if it comes from an address that this device is known to have, or nothing is known of it: anybody in the local
network can say a line in any name, and would get the answers that are meant for another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Generic, TypeVar

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Collection, Hashable

    C = TypeVar("C", bound=Hashable)
else:
    C = TypeVar("C")

MAX_ACCEPTED: Final = 64
MAX_ACCEPTED_PER_ADDRESS: Final = 8
"""Devices behind one address are few: several users of one machine, containers."""


class _Entry(Struct, eq=False):
    address: str
    is_ours: bool
    """We dialled it."""
    peer: str | None
    is_proved: bool = False
    """What came on it is sealed by that device."""
    is_finished: bool = False


class Filing(Generic[C]):
    """Knows every open connection of one room."""

    def __init__(self) -> None:
        self._entries: dict[C, _Entry] = {}
        self._by_peer: dict[str, C] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def may_accept(self, address: str) -> bool:
        """Whether one more connection from this address is listened to."""
        accepted = [entry.address for entry in self._entries.values() if not entry.is_ours]
        return len(accepted) < MAX_ACCEPTED and accepted.count(address) < MAX_ACCEPTED_PER_ADDRESS

    def accepted(self, connection: C, address: str) -> None:
        self._entries[connection] = _Entry(address, is_ours=False, peer=None)

    def dialled(self, connection: C, address: str, peer: str) -> None:
        self._entries[connection] = _Entry(address, is_ours=True, peer=peer)
        self._by_peer[peer] = connection

    def said(self, connection: C, sender: str, known: Collection[str]) -> bool:
        """A line in the name of `sender` came, whose adverts name the addresses `known`.

        False when it is not to be listened to: each connection speaks for one device.
        """
        entry = self._entries[connection]
        if entry.peer is not None:
            return entry.peer == sender
        entry.peer = sender
        if known and entry.address not in known:
            # It may be another address of that device: answers go where its advert says, over a connection that is new,
            # for the one that is filed may lead to where the device was.
            self._doubt(sender)
            return True
        filed = self._by_peer.get(sender)
        if filed is None or not self._entries[filed].is_ours:
            self._by_peer[sender] = connection
        return True

    def proved(self, connection: C) -> None:
        """What came on it last is sealed by the device that it speaks for: it is answered there."""
        entry = self._entries[connection]
        entry.is_proved = True
        if entry.peer is not None and not entry.is_finished:
            self._by_peer[entry.peer] = connection

    def _doubt(self, peer: str) -> None:
        filed = self._by_peer.get(peer)
        if filed is not None and not self._entries[filed].is_proved:
            del self._by_peer[peer]

    def heard_from(self, peer: str) -> C | None:
        """The newest connection that somebody opened in the name of a device: the last resort, where its advert leads
        nowhere."""
        found = [
            connection
            for connection, entry in self._entries.items()
            if entry.peer == peer and not entry.is_ours and not entry.is_finished
        ]
        return found[-1] if found else None

    def to(self, peer: str) -> C | None:
        """The connection on which a device is written to."""
        return self._by_peer.get(peer)

    def finished(self, connection: C) -> None:
        """Nothing is written on it any more."""
        entry = self._entries.get(connection)
        if entry is None:
            return
        entry.is_finished = True
        if entry.peer is not None and self._by_peer.get(entry.peer) is connection:
            del self._by_peer[entry.peer]

    def closed(self, connection: C) -> None:
        self.finished(connection)
        self._entries.pop(connection, None)

    def of(self, peer: str) -> list[C]:
        """Every connection that speaks for a device."""
        return [connection for connection, entry in self._entries.items() if entry.peer == peer]

    def all(self) -> list[C]:
        return list(self._entries)
