"""Noticing that this machine slept, or that this program stood still (spec 08 §12 row 40). Pure."""

from __future__ import annotations

from typing import Final

SLEEP_S: Final = 30.0


class SleepWatch:
    """Told the time with every event. A sleep is a timer that is half a minute late, or a wall clock that ran on alone.

    On some systems the monotonic clock stands still meanwhile, on others it does not: one of the two shows it.
    """

    def __init__(self) -> None:
        self._now: float | None = None
        self._wall_ms = 0

    def has_slept(self, now: float, wall_ms: int, due: float | None) -> bool:
        """Did it, since the last call? `due` is when the next timer should have been handed in."""
        late_s = 0.0 if due is None else now - due
        ahead_s = 0.0 if self._now is None else (wall_ms - self._wall_ms) / 1000 - (now - self._now)
        self._now, self._wall_ms = now, wall_ms
        return max(late_s, ahead_s) >= SLEEP_S
