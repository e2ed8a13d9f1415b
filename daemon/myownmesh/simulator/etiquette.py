"""How often a device may announce itself, whatever goes wrong (docs/etiquette.md)."""

from __future__ import annotations

from typing import Final

from attrs import define

from myownmesh.engine.limits import NUDGES_BURST, NUDGES_PER_S, REPEATS_BURST, REPEATS_PER_S

TICKER_LEAST_S: Final = 102.0
"""The ticker's two minutes, less 15 %."""
PER_NEWCOMER: Final = 2
"""It is answered; and once more by a device that it would offer to and whose link to its former process is mute."""
MOST_PER_HOUR: Final = 45
"""Of a device that nothing happens to: 35 of its ticker at the fastest, and ten others."""


def most_in_peace(hours: float, devices: int) -> float:
    """Announces of a device without any trouble, those with which it meets so many included."""
    return MOST_PER_HOUR * hours + 5 + devices


@define
class Announces:
    """Of one process: what it said, and what it had occasion to say."""

    began: float
    said: int = 0
    occasions: int = 0
    """Newcomers, what a person asked for, wakings."""

    def most(self, now: float) -> float:
        """What the page allows until now; those that a relay link makes when it opens are not counted here."""
        age_s = now - self.began
        buckets = REPEATS_BURST + NUDGES_BURST + (REPEATS_PER_S + NUDGES_PER_S) * age_s
        return 2 + age_s / TICKER_LEAST_S + buckets + self.occasions
