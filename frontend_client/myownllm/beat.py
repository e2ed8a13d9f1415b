"""Looks at what nobody announces fall on common moments, so that an idle app wakes once for several of them."""

from __future__ import annotations

from typing import Final

import trio

TICK_S: Final = 1.25
"""All periods are multiples of it, which binary fractions keep exact. With the patience for a first unanswered look it
makes less than three seconds, within which a silent daemon is told (`supervisor.policy`)."""


def until_beat(period_s: float, now: float) -> float:
    """Seconds from `now` to the next multiple of the period on trio's clock: more than 0, at most the period."""
    return period_s - now % period_s


async def beat(period_s: float) -> None:
    """Sleep until then."""
    await trio.sleep(until_beat(period_s, trio.current_time()))
