"""When the next packet may leave. No I/O; `now` is handed in.

Timers tick in milliseconds and a process is not always served at once, so packets leave in small bursts: what was not
sent in time may be made up for, within a bound.
"""

from __future__ import annotations

from myownmesh.transport import sctp_wire as wire

CATCH_UP_SECONDS = 0.004
CATCH_UP_BYTES = 10 * wire.MAX_FRAGMENT_BYTES
"""A message of a few packets, after a pause, leaves at once."""


class Pacer:
    """A rate in bytes per second, held from packet to packet; 0 holds nothing back."""

    def __init__(self) -> None:
        self.rate = 0.0
        self._free_at = 0.0

    def delay(self, now: float) -> float:
        """Seconds until a packet may leave; 0 or less if it may now."""
        return self._free_at - now if self.rate else 0.0

    def sent(self, size: int, now: float) -> None:
        """A packet with so much data has left."""
        rate = self.rate
        if rate:
            earliest = now - max(CATCH_UP_SECONDS, CATCH_UP_BYTES / rate)
            self._free_at = (self._free_at if self._free_at > earliest else earliest) + size / rate
