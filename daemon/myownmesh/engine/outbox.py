"""Frames for one peer that are kept until it has acknowledged them (spec 01 §13.1)."""

from __future__ import annotations

from collections import deque
from typing import Final

from msgspec import Raw, Struct, field

OUTBOX_FRAMES: Final = 256
"""Per peer, as in the reference."""

OUTBOX_BYTES: Final = 4 * 2**20
"""Per peer; one frame alone may hold 64 KiB."""

OUTBOXES_BYTES: Final = 64 * 2**20
"""Over all peers of a network: the ids may be anybody's."""

DEFAULT_TTL_S: Final = 60.0

RESEND_S: Final = 5.0
"""A frame that left and is not acknowledged for so long is sent again; its receiver knows copies. Doubles each time."""


class Entry(Struct, eq=False):
    """One frame on its way."""

    seq: int
    channel: str
    payload: Raw
    ticket: int
    """What its sender is told by."""
    expires_at: float
    """Monotonic second."""
    size: int
    is_sent: bool = False
    """It left over the present link."""
    resend_at: float = 0.0
    resend_after_s: float = RESEND_S


class Outbox(Struct, eq=False):
    """A stream of frames to one peer. It lives until it is empty; the next one is another stream."""

    stream: int
    next_seq: int = 0
    entries: deque[Entry] = field(default_factory=deque)
    nbytes: int = 0
    leaving: int | None = None
    """The sequence number that the link has been given and has not taken yet."""

    def has_room(self, size: int) -> bool:
        return len(self.entries) < OUTBOX_FRAMES and self.nbytes + size <= OUTBOX_BYTES

    def add(self, channel: str, payload: Raw, ticket: int, expires_at: float, size: int) -> None:
        self.next_seq += 1
        self.entries.append(Entry(self.next_seq, channel, payload, ticket, expires_at, size))
        self.nbytes += size

    def next_unsent(self) -> Entry | None:
        """The first that has not left; none before it, so the order holds."""
        return next((entry for entry in self.entries if not entry.is_sent), None)

    def find(self, seq: int) -> Entry | None:
        return next((entry for entry in self.entries if entry.seq == seq), None)

    def remove(self, entry: Entry) -> None:
        self.entries.remove(entry)
        self.nbytes -= entry.size

    def acknowledged(self, up_to: int) -> list[Entry]:
        """Take out what the peer has; of what never left it cannot have anything."""
        taken = []
        while self.entries and self.entries[0].seq <= up_to and self.entries[0].is_sent:
            taken.append(self.entries.popleft())
            self.nbytes -= taken[-1].size
        return taken

    def expired(self, mono: float) -> list[Entry]:
        """Take out what nobody waits for any more, wherever it stands."""
        taken = [entry for entry in self.entries if entry.expires_at <= mono]
        for entry in taken:
            self.remove(entry)
        return taken

    def unsend(self) -> None:
        """The link is gone: everything leaves anew over the next one."""
        self.leaving = None
        for entry in self.entries:
            entry.is_sent = False
            entry.resend_after_s = RESEND_S
