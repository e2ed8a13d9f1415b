"""Which knocks a person hears of: those that stand for a moment, each once. Pure; `now` is monotonic seconds.

A device that an invitation lets in waits only until that is on the disk, and nobody is to be asked about it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterable

    from myownllm.peers import PeerEntry

STANDS_S: Final = 1.0
"""Longer than a disk takes to write a use down, shorter than a person takes to look up."""
NOTIFY_GAP_S: Final = 600.0
"""A device that comes and goes knocks each time; it calls a person away from other work once in so long."""
NOTIFIED_MAX: Final = 64
"""Devices whose last notification is remembered. Whoever has more ids than that is told of in the app alone."""


def is_knock(peer: PeerEntry) -> bool:
    """Whether a person is to decide about it."""
    return peer.status == "pending_approval" and bool(peer.code_received)


class Knocks:
    """The knocks of now: each is due once it has stood for `STANDS_S`."""

    def __init__(self) -> None:
        self._since: dict[str, float] = {}
        self._told: set[str] = set()

    def due(self, peers: Iterable[PeerEntry], now: float) -> list[PeerEntry]:
        """Who is to be told of now. A device whose knock was over may knock again."""
        waiting = {peer.device_pubkey: peer for peer in peers if is_knock(peer)}
        self._since = {key: self._since.get(key, now) for key in waiting}
        self._told &= waiting.keys()
        found = [p for key, p in waiting.items() if key not in self._told and now - self._since[key] >= STANDS_S]
        self._told.update(peer.device_pubkey for peer in found)
        return found

    def next(self) -> float | None:
        """When the next one is due if it stands until then."""
        return min((at + STANDS_S for key, at in self._since.items() if key not in self._told), default=None)


class Waits:
    """Who waits for the other side's approval. A link that comes back does so for a moment, and no one is to act."""

    def __init__(self) -> None:
        self._since: dict[str, float] = {}

    def settled(self, peers: Iterable[PeerEntry], now: float) -> tuple[PeerEntry, ...]:
        """The peers, with those that have not waited for `STANDS_S` as shaking hands still."""
        peers = tuple(peers)
        self._since = {
            peer.device_pubkey: self._since.get(peer.device_pubkey, now)
            for peer in peers
            if peer.status == "pending_remote"
        }
        return tuple(
            attrs.evolve(peer, status="handshaking")
            if now - self._since.get(peer.device_pubkey, -math.inf) < STANDS_S
            else peer
            for peer in peers
        )

    def next(self, now: float) -> float:
        """When the next one has waited that long; infinity when none is about to."""
        return min((at + STANDS_S for at in self._since.values() if at + STANDS_S > now), default=math.inf)


class Interruptions:
    """Whom a person was called for outside of the app lately."""

    def __init__(self) -> None:
        self._last: dict[str, float] = {}

    def may(self, device: str, now: float) -> bool:
        """Whether to call a person for this device; True counts as done."""
        self._last = {key: at for key, at in self._last.items() if now - at < NOTIFY_GAP_S}
        if device in self._last or len(self._last) >= NOTIFIED_MAX:
            return False
        self._last[device] = now
        return True
