"""Doubts about all connections at once: the network moved, so each one has to show that it still carries anything."""

from __future__ import annotations

import trio


class Doubts:
    """Raised by one, faced by every link in its own time; none misses one."""

    def __init__(self) -> None:
        self.raised = 0
        """How many so far."""
        self._next = trio.Event()

    def raise_one(self) -> None:
        self.raised += 1
        self._next.set()
        self._next = trio.Event()

    async def after(self, known: int) -> int:
        """Wait until there are more than `known`; returns how many."""
        while self.raised == known:
            await self._next.wait()
        return self.raised
