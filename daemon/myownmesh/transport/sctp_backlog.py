"""Messages that wait to be sent, and which of them goes first. No I/O and no clock.

A message that goes ahead overtakes the others between two messages, before it has a TSN: one that is under way is
finished first. Among themselves those that go ahead keep their order, and so do the others.
"""

from __future__ import annotations

from collections import deque

from myownmesh.transport import sctp_wire as wire
from myownmesh.transport.session import Order

SECONDS_OF_BACKLOG = 0.1
"""What a bulk sender may put before the path; more would only make whatever comes next wait."""
MIN_LIMIT_BYTES = 64 * 1024
"""One frame of any size."""
MAX_LIMIT_BYTES = 256 * 1024

Message = tuple[int, bytes, Order]
"""Payload protocol, data, order."""


class Backlog:
    """Two lines of messages and the one that is under way."""

    def __init__(self) -> None:
        self.unsent_bytes = 0
        self._ahead: deque[Message] = deque()
        self._line: deque[Message] = deque()
        self._message: Message | None = None
        self._position = 0

    def __bool__(self) -> bool:
        return self.unsent_bytes > 0

    @property
    def has_urgent(self) -> bool:
        """Whether a message that went ahead is next."""
        return bool(self._ahead) and self._message is None

    def put(self, ppid: int, data: bytes, order: Order = Order.IN_TURN) -> None:
        """Take a message of at least one byte."""
        (self._line if order is Order.IN_TURN else self._ahead).append((ppid, data, order))
        self.unsent_bytes += len(data)

    def take(self) -> tuple[int, int, bytes, Order]:
        """Flags, payload protocol and data of the next fragment, and its message's order. Only while there is one."""
        message = self._message
        if message is None:
            message = self._message = (self._ahead or self._line).popleft()
            self._position = 0
        ppid, data, order = message
        start = self._position
        end = start + wire.MAX_FRAGMENT_BYTES
        flags = 0 if start else wire.FLAG_FIRST
        if end >= len(data):
            flags |= wire.FLAG_LAST
            self._message = None
            piece = data[start:] if start else data
        else:
            self._position = end
            piece = data[start:end]
        self.unsent_bytes -= len(piece)
        return flags, ppid, piece, order

    def clear(self) -> None:
        self._ahead.clear()
        self._line.clear()
        self._message = None
        self.unsent_bytes = 0


def limit_bytes(bytes_per_second: float) -> int:
    """How much a bulk sender may put before a path of this rate."""
    return int(min(max(SECONDS_OF_BACKLOG * bytes_per_second, MIN_LIMIT_BYTES), MAX_LIMIT_BYTES))
