"""When the daemon looks for releases by itself (spec 09 §10.4). Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from myownmesh.updates.records import Failures

FIRST_S = (30.0, 90.0)
"""After a start: between these, so that a site whose power came back does not ask as one."""
SPREAD = 0.1
"""Of an interval, to either side."""
AFTER_FAILURE_S, AFTER_FAILURES_S = 15 * 60.0, 6 * 3600.0
"""After the first failure, doubled with each further one up to the second."""
HOUR_S = 3600.0


def first(draw: Callable[[], float]) -> float:
    """Seconds from a start to the first look; `draw` is a number from 0 to 1."""
    least, most = FIRST_S
    return least + draw() * (most - least)


def due_in(
    now: float, *, last_check: int | None, failures: Failures, interval_h: int, draw: Callable[[], float]
) -> float:
    """Seconds until the next look, 0 for one that is due. A time in the future is one of a wrong clock: never."""
    if failures.count > 0:
        if failures.at > now:
            return 0.0
        wait = min(AFTER_FAILURES_S, AFTER_FAILURE_S * 2.0 ** min(failures.count - 1, 16))
        return max(0.0, failures.at + wait - now)
    if last_check is None or last_check > now:
        return 0.0
    interval = max(1, interval_h) * HOUR_S
    return max(0.0, last_check + interval * (1 - SPREAD + 2 * SPREAD * draw()) - now)
