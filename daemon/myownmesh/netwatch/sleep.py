"""Did this machine sleep, or this process stand still? Three clocks tell, and a clock that is set is neither. Pure.

One clock of every system stands still in a sleep and another one goes on, so a sleep is a difference between the two;
neither of them can be set. A process that stood still (a stopped one, a machine that was out of breath) finds both of
them late. The wall clock alone says nothing: whoever sets it moves it.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, NamedTuple

SLEPT_S: Final = 2.0
"""A shorter sleep has cost no path and no connection."""
STOOD_STILL_S: Final = 10.0
"""Later than this a tick means that peers may have given us up; links notice a shorter stop by themselves."""
CLOCK_SET_S: Final = 2.0


class Reading(NamedTuple):
    """All clocks at one moment, in seconds."""

    awake: float
    """Stands still while the machine sleeps."""
    boot: float
    """Goes on then."""
    wall: float


class Oddity(Enum):
    SLEPT = "this machine slept"
    STOOD_STILL = "this process stood still"
    CLOCK_SET = "the wall clock was set"


class Seen(NamedTuple):
    oddity: Oddity
    seconds: float
    """How long, or how far."""


class SleepWatch:
    """Compares each reading with the one before."""

    def __init__(self, first: Reading) -> None:
        self._last = first

    def tick(self, reading: Reading, due: float) -> Seen | None:
        """`due` is the second on the awake clock at which this reading should have been taken at the latest."""
        last, self._last = self._last, reading
        slept_s = (reading.boot - last.boot) - (reading.awake - last.awake)
        if slept_s >= SLEPT_S:
            return Seen(Oddity.SLEPT, slept_s)
        if (late_s := reading.awake - due) >= STOOD_STILL_S:
            return Seen(Oddity.STOOD_STILL, late_s)
        set_s = (reading.wall - last.wall) - (reading.boot - last.boot)
        return Seen(Oddity.CLOCK_SET, set_s) if abs(set_s) >= CLOCK_SET_S else None
