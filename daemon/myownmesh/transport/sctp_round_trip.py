"""The round trip of a path: smoothed, with its variation, and at its shortest. No I/O; `now` is handed in."""

from __future__ import annotations

TIMEOUT_INITIAL_SECONDS = 1.0
TIMEOUT_MIN_SECONDS = 0.4
"""Twice the longest delayed SACK in use (200 ms, v0.3.8)."""
TIMEOUT_MAX_SECONDS = 8.0
"""Small on purpose: after an outage the first repeat must not wait a minute (spec 04 §15.4 row 39)."""
SHORTEST_LIVES_SECONDS = 10.0
"""A shortest round trip that nothing has come near to for so long is that of another path."""
NEAR = 1.05
NEAR_SECONDS = 0.0005
"""What comes so near to the shortest confirms it; no two are equal to the microsecond."""


class RoundTrip:
    """What has been measured of fragments that were sent once (RFC 9260 §6.3.1)."""

    def __init__(self) -> None:
        self.smoothed = 0.0
        """Seconds; 0 before the first measurement."""
        self.shortest = 0.0
        """Seconds; 0 before the first measurement."""
        self.timeout_seconds = TIMEOUT_INITIAL_SECONDS
        self._variation = 0.0
        self._confirmed_at = 0.0

    def take(self, seconds: float, now: float) -> None:
        if not self.smoothed:
            self.smoothed = self.shortest = seconds
            self._variation = seconds / 2
            self._confirmed_at = now
        else:
            self._variation += (abs(self.smoothed - seconds) - self._variation) / 4
            self.smoothed += (seconds - self.smoothed) / 8
            if seconds <= self.shortest * NEAR + NEAR_SECONDS:
                self._confirmed_at = now
                self.shortest = min(self.shortest, seconds)
        timeout = self.smoothed + 4 * self._variation
        self.timeout_seconds = min(max(timeout, TIMEOUT_MIN_SECONDS), TIMEOUT_MAX_SECONDS)

    def shortest_is_stale(self, now: float) -> bool:
        return now - self._confirmed_at > SHORTEST_LIVES_SECONDS

    def measure_shortest_anew(self, seconds: float, now: float) -> None:
        """Take what was measured on an empty path in the place of a stale shortest one."""
        self.shortest = seconds
        self._confirmed_at = now

    def back_off(self) -> None:
        """A timeout was of no use: the next one takes twice as long."""
        self.timeout_seconds = min(2 * self.timeout_seconds, TIMEOUT_MAX_SECONDS)

    def new_path(self) -> None:
        """Forget the old path; its patience is kept only as far as it is short."""
        self.smoothed = self.shortest = 0.0
        self.timeout_seconds = min(self.timeout_seconds, TIMEOUT_INITIAL_SECONDS)
