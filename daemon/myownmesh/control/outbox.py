"""What waits for a slow event connection (spec 05 §10.4 with W6 and W18).

Frames meant for this client alone (calls, channels) must not be lost: when too much waits, the connection ends.
Mesh events are news: the oldest give way and the client is told how many. Neither class starves the other.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from myownmesh.control.answers import lagged

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_EVENTS = 256
"""As many as the reference keeps; a client that misses more must look at snapshots anyway."""

MAX_RECORDS = 512
"""The same of a connection trace."""

MAX_DIRECT_BYTES = 16 * 1024 * 1024
MAX_DIRECT_FRAMES = 16_384
"""A burst of some seconds at full rate; a client that is further behind is stuck."""


class Outbox:
    """Bounded queues of encoded lines; no I/O."""

    __slots__ = ("_direct", "_direct_bytes", "_events", "_lagged", "_max_events", "_skipped")

    def __init__(self, max_events: int = MAX_EVENTS, lagged: Callable[[int], bytes] = lagged) -> None:
        """`lagged` words how many events gave way."""
        self._max_events = max_events
        self._lagged = lagged
        self._direct: deque[bytes] = deque()
        self._direct_bytes = 0
        self._events: deque[bytes] = deque()
        self._skipped = 0

    def __bool__(self) -> bool:
        """True when something waits."""
        return bool(self._direct or self._events)

    def add_direct(self, line: bytes) -> bool:
        """Queue a frame for this client alone; False when the client is hopelessly behind."""
        if len(self._direct) >= MAX_DIRECT_FRAMES or self._direct_bytes + len(line) > MAX_DIRECT_BYTES:
            return False
        self._direct.append(line)
        self._direct_bytes += len(line)
        return True

    def add_event(self, line: bytes) -> None:
        """Queue an event; the oldest one is dropped and counted when there is no room."""
        if len(self._events) >= self._max_events:
            self._events.popleft()
            self._skipped += 1
        self._events.append(line)

    def take(self, nbytes: int) -> bytes:
        """The next lines, at least one and about `nbytes` in all, taken from both classes in turn."""
        lines: list[bytes] = []
        size = 0
        while size < nbytes and (self._direct or self._events):
            if self._direct:
                line = self._direct.popleft()
                self._direct_bytes -= len(line)
                lines.append(line)
                size += len(line)
            if self._events:
                line = self._events.popleft()
                if self._skipped:
                    line = self._lagged(self._skipped) + line  # it stands where the missing events would have stood
                    self._skipped = 0
                lines.append(line)
                size += len(line)
        return b"".join(lines)
