"""A poller that looks again for a moment before the process sleeps, as long as that is worth it.

To sleep and to be woken costs ten to thirty microseconds, most on a virtual machine, and what runs then runs with cold
caches. Where the next datagram comes sooner than that, whoever waits awake answers sooner; where it does not, hardly
anybody waits: after a few moments in vain it is tried once in a while.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from myownmesh.worker.loop import Poller

LINGER_S: Final = 20e-6
"""No longer than it costs to sleep: so it never costs more than twice as much as never to linger."""
IN_VAIN: Final = 8
"""So many moments in a row without anything, and the next `UNTRIED` sleeps begin at once; then one more is tried."""
UNTRIED: Final = 32


class Lingering:
    """Around another poller."""

    def __init__(self, poller: Poller, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.register, self.modify, self.unregister = poller.register, poller.modify, poller.unregister
        self.close = poller.close
        self._poll = poller.poll
        self._monotonic = monotonic
        self._in_vain = 0
        self._untried = 0

    def poll(self, seconds: float) -> list[tuple[int, int]]:
        """As the other's."""
        poll = self._poll
        if self._untried:
            self._untried -= 1
            return poll(seconds)
        found = poll(0.0)
        if found or not seconds:
            return found
        monotonic = self._monotonic
        until = monotonic() + LINGER_S
        while monotonic() < until:
            found = poll(0.0)
            if found:
                self._in_vain = 0
                return found
        self._in_vain += 1
        if self._in_vain > IN_VAIN:
            self._untried = UNTRIED
        return poll(seconds)
