"""Is this device's clock wrong? An estimate from the pings of the peers; it only advises (spec 04 §7.10)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

WINDOW: Final = 5
WARN_MS: Final = 10_000
CLEAR_MS: Final = 5_000
WARN_TICKS: Final = 3
SANE_MS: Final = 100 * 365 * 86_400_000
"""A hundred years: beyond it a sample says nothing, and sums stay small (spec 01 §20 item 29)."""


def median(samples: Sequence[int]) -> int | None:
    """The middle value; of two middle ones that of smaller magnitude, the lower on a tie. One bad clock among two
    peers must not be blamed on this device."""
    if not samples:
        return None
    ordered = sorted(samples)
    upper = ordered[len(ordered) // 2]
    if len(ordered) % 2:
        return upper
    lower = ordered[len(ordered) // 2 - 1]
    return upper if abs(upper) < abs(lower) else lower


def skew_sample(ping_t: int, rtt_ms: int | None, now_ms: int) -> int:
    """How far the sender of a ping is ahead, in milliseconds."""
    sample = ping_t + (rtt_ms or 0) // 2 - now_ms
    return max(-SANE_MS, min(SANE_MS, sample))


class ClockWatch(msgspec.Struct):
    """Judges one estimate per heartbeat."""

    streak: int = 0
    warned: bool = False

    def judge(self, estimate: int | None) -> Literal["warn", "clear"] | None:
        """`warn` after three bad ticks in a row, once; `clear` when a warned clock is right again."""
        if estimate is None or abs(estimate) < WARN_MS:
            self.streak = 0
        else:
            self.streak += 1
        if not self.warned and self.streak >= WARN_TICKS:
            self.warned = True
            return "warn"
        if self.warned and estimate is not None and abs(estimate) <= CLEAR_MS:
            self.warned = False
            return "clear"
        return None
