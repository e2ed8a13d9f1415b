"""A bound on the log: what somebody outside can cause in a loop must not fill the disk.

Whoever may cause a line is never asked: every place in the code that logs has its own allowance, so a flood of one
kind of line hides no other. What was left out is counted and told.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

BURST: Final = 40
"""Lines of one place that pass at once; a boot with many networks stays whole."""

LINES_PER_S: Final = 0.5
"""What a flood is cut down to: below 20 MB a week for a place that is flooded all the time."""

TELL_AFTER_S: Final = 10.0
"""When a flood has ended, its count is told after this long, though no further line comes."""


ASKED_FOR: Final = "conn_trace"
"""Logger of the connection trace, as the reference calls it: a variable switches it on for whoever wants all of it."""


class _Place:
    """The allowance of one place in the code."""

    __slots__ = ("allowed", "left_out", "record", "since", "updated")

    def __init__(self, now: float) -> None:
        self.allowed = float(BURST)
        self.updated = now
        self.left_out = 0
        self.since = now
        self.record: logging.LogRecord | None = None


class Throttle(logging.Filter):
    """Lets a line through or counts it; a line that passes carries the count of those before it as `left_out`.

    Lines below INFO are never held back, nor is the connection trace: somebody asked for them. `clock` gives monotonic
    seconds. Safe for threads only under the lock of the handler that it is attached to, or with one writing thread.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._places: dict[tuple[str, int], _Place] = {}
        self._short: dict[tuple[str, int], _Place] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """True for a line that may be written."""
        if record.levelno < logging.INFO or record.name == ASKED_FOR:
            return True
        now = self._clock()
        key = (record.pathname, record.lineno)
        place = self._places.get(key)
        if place is None:
            place = self._places[key] = _Place(now)
        place.allowed = min(BURST, place.allowed + (now - place.updated) * LINES_PER_S)
        place.updated = now
        if place.allowed < 1:
            if not place.left_out:
                place.since = now
                self._short[key] = place
            place.left_out += 1
            place.record = record
            return False
        place.allowed -= 1
        if place.left_out:
            vars(record)["left_out"] = place.left_out
            self._forget(key, place)
        return True

    @property
    def is_holding_back(self) -> bool:
        """Whether a count waits to be told."""
        return bool(self._short)

    def overdue(self, *, all_of_them: bool = False) -> list[logging.LogRecord]:
        """The last line of each place whose count has waited long enough, ready to be written with that count."""
        now = self._clock()
        told = []
        for key, place in list(self._short.items()):
            if all_of_them or now - place.since >= TELL_AFTER_S:
                assert place.record is not None
                vars(place.record)["left_out"] = place.left_out - 1  # the line itself is shown
                told.append(place.record)
                self._forget(key, place)
        return told

    def _forget(self, key: tuple[str, int], place: _Place) -> None:
        place.left_out, place.record = 0, None
        self._short.pop(key, None)


def left_out(record: logging.LogRecord) -> int:
    """How many lines of the same place were held back before this one."""
    return int(vars(record).get("left_out", 0))
