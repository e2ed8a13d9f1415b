"""Deadlines of one engine, kept in a heap; setting one again moves it, cancelling costs nothing.

The class of a timer says what it belongs to, and so what ends it: closing a link cancels its `LinkTimer`s and no other.
"""

from __future__ import annotations

from enum import Enum, auto
from heapq import heapify, heappop, heappush

from msgspec import Struct


class NetworkTimer(Enum):
    """Deadlines of the whole network; their owner is the empty text."""

    __hash__ = object.__hash__  # members are single; the enum's own hash is a Python call

    HEARTBEAT = auto()
    PONGS_DUE = auto()
    INTENTS = auto()
    SHAPE = auto()
    OUTBOX = auto()
    GOSSIP = auto()
    LEAVE_FLUSH = auto()
    TWIN_SILENCE = auto()
    FAN_OUT = auto()
    SLICE = auto()
    """Signatures wait to be checked."""
    PULL_ROUND = auto()
    PULLS = auto()
    """Somebody is to be asked for its logs."""
    HELD = auto()
    """Entries and proposals whose time may have come."""
    HOLDOUTS = auto()
    """Others may hold a branch that this one is kept from."""


class PeerTimer(Enum):
    """Deadlines that outlive a link; their owner is a device id."""

    __hash__ = object.__hash__  # members are single; the enum's own hash is a Python call

    DIAL_ANYWAY = auto()
    EARLY_OFFER = auto()
    LINGER = auto()
    """Of a link whose entry is gone; its owner is the key in `Core.lingering`."""


class LinkTimer(Enum):
    """Deadlines of the link that a peer has now; they die with it. Their owner is the peer's device id."""

    __hash__ = object.__hash__  # members are single; the enum's own hash is a Python call

    CHANNEL_OPEN = auto()
    REOFFER = auto()
    GLARE_HOLD = auto()
    CONTEST = auto()
    HELLO = auto()
    HANDSHAKE = auto()
    APPROVE = auto()
    PENDING_AGE = auto()
    PROBE = auto()
    SUSPICION = auto()
    ANSWER_DUE = auto()
    ASKED = auto()
    PATH_FAILED = auto()
    RESTART = auto()
    RESTART_VERDICT = auto()
    DOUBT = auto()
    LEAVE_PING = auto()
    LEAVE_VERDICT = auto()


Timer = NetworkTimer | PeerTimer | LinkTimer
Key = tuple[Timer, str]
"""What for, and whose."""

_HELD_OFFLINE = (NetworkTimer.INTENTS, NetworkTimer.SHAPE, PeerTimer.DIAL_ANYWAY, *LinkTimer)
"""What tries a link, or gives one up: in vain, and unjustly, without a network."""

_REBUILD_ABOVE = 256
"""Stale heap entries are swept out when they outnumber the live ones by more than this."""


class _Deadline(Struct, eq=False):
    """One that is or was set. Whoever finds it in the heap sees whether it still counts, without asking the table."""

    key: Key
    at: float
    is_armed: bool = True


class Timers:
    """A set of named deadlines in monotonic seconds."""

    __slots__ = (
        "_count",
        "_due",
        "_heap",
        "_held",
        "_held_since",
    )

    def __init__(self) -> None:
        self._due: dict[Key, _Deadline] = {}
        self._heap: list[tuple[float, int, _Deadline]] = []
        self._count = 0
        self._held: dict[Key, tuple[float, bool]] | None = None
        """While offline: what is not due before there is a network, when it would have been, and whether it was armed
        before."""
        self._held_since = 0.0

    def set(self, timer: Timer, owner: str, at: float) -> None:
        """Arm `timer` of `owner` for `at`; an earlier deadline of it is forgotten."""
        key = (timer, owner)
        if self._held is not None and timer in _HELD_OFFLINE:
            self._held[key] = (at, False)
            return
        self._count += 1
        if (former := self._due.get(key)) is not None:
            former.is_armed = False
        deadline = self._due[key] = _Deadline(key, at)
        heappush(self._heap, (at, self._count, deadline))
        if len(self._heap) > 2 * len(self._due) + _REBUILD_ABOVE:
            self._heap = [item for item in self._heap if item[2].is_armed]
            heapify(self._heap)

    def keys(self) -> list[Key]:
        """Everything that is armed."""
        return list(self._due)

    def is_set(self, timer: Timer, owner: str) -> bool:
        return (timer, owner) in self._due or self._is_held((timer, owner))

    def when(self, timer: Timer, owner: str) -> float | None:
        """The monotonic second for which it is armed; None for one that waits for a network."""
        due = self._due.get((timer, owner))
        return None if due is None else due.at

    def cancel(self, timer: Timer, owner: str) -> None:
        if (due := self._due.pop((timer, owner), None)) is not None:
            due.is_armed = False
        if self._held is not None:
            self._held.pop((timer, owner), None)

    def cancel_link(self, peer: str) -> None:
        """Cancel everything that belongs to the link of `peer`."""
        for timer in LinkTimer:
            self.cancel(timer, peer)

    def rename_link(self, owner: str, to: str) -> None:
        """Give what belongs to one link to another owner, in place of what that had."""
        for timer in LinkTimer:
            due = self._due.get((timer, owner))
            held = None if self._held is None else self._held.get((timer, owner))
            self.cancel(timer, owner)
            self.cancel(timer, to)
            if due is not None:
                self.set(timer, to, due.at)
            if self._held is not None and held is not None:
                self._held[timer, to] = held

    def cancel_all(self, timer: Timer) -> None:
        """Cancel this timer of every owner."""
        for key in [key for key in (*self._due, *(self._held or ())) if key[0] is timer]:
            self.cancel(*key)

    def clear(self) -> None:
        self._due.clear()
        self._heap.clear()
        self._held = None

    def hold(self, mono: float) -> None:
        """There is no network: what tries links or gives them up waits for `release`."""
        if self._held is not None:
            return
        self._held_since = mono
        self._held = {key: (due.at, True) for key, due in self._due.items() if key[0] in _HELD_OFFLINE}
        for key in self._held:
            self._due.pop(key).is_armed = False

    def release(self, mono: float) -> None:
        """There is one again: everything has as long as it had left."""
        held, self._held = self._held or {}, None
        for (timer, owner), (at, was_armed) in held.items():
            self.set(timer, owner, at + (mono - self._held_since) if was_armed else max(mono, at))

    def _is_held(self, key: Key) -> bool:
        return self._held is not None and key in self._held

    def next(self) -> float | None:
        """The earliest deadline."""
        heap = self._heap
        while heap:
            at, _, deadline = heap[0]
            if deadline.is_armed:
                return at
            heappop(heap)
        return None

    def pop_due(self, mono: float) -> Key | None:
        """Take the earliest deadline that has passed; equal ones come in the order in which they were set."""
        at = self.next()
        if at is None or at > mono:
            return None
        deadline = heappop(self._heap)[2]
        deadline.is_armed = False
        del self._due[deadline.key]
        return deadline.key
