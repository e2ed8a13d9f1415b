"""How much of what peers send may wait here for what is missing, over all sessions of a process. No I/O."""

from __future__ import annotations

from myownmesh.transport import sctp_wire as wire

ADMITTED_WINDOW_BYTES = 4 * 1024 * 1024
"""Carries 9 MB/s over 200 ms with repeats under way."""
BUDGET_BYTES = 32 * 1024 * 1024
"""Beyond the window that every peer has."""


class WindowBudget:
    """Who comes when nothing is left keeps the window that everybody has."""

    def __init__(self, left: int = BUDGET_BYTES) -> None:
        self._left = left

    def widen(self) -> int:
        """Take what an admitted peer's window has beyond the usual one; 0 if nothing is left."""
        more = ADMITTED_WINDOW_BYTES - wire.BASE_WINDOW_BYTES
        if self._left < more:
            return 0
        self._left -= more
        return more

    def give_back(self, size: int) -> None:
        """A session has ended that had been given so much."""
        self._left += size
