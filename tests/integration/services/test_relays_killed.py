"""Two relays on a real Redis with a crowd: each part is killed or stopped, and nothing is lost that need not be.

Ten thousand members: `benchmarks/bench_services.py --kills`, beside one relay.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Final

import pytest

from myownmesh.cluster.cluster import BEAT_S, LEASE_S
from myownmesh.relay.presence import LEAVE_DELAY_S
from support.relay_crowd import ROOM
from support.relay_kills import Fault, stay_away, world
from support.tools import needs

if TYPE_CHECKING:
    from pathlib import Path

MEMBERS: Final = 200
RATE: Final = 50.0
TOLD: Final = MEMBERS // 2 * ROOM // 2
"""Every member of one relay is told that each of the other one in its room left."""


FAULTS: Final = {
    Fault("a", signal.SIGKILL, 1.0): 0,
    Fault("b", signal.SIGSTOP, LEASE_S + BEAT_S + 2.0): TOLD,
    Fault("redis", signal.SIGKILL, 2.0): 0,
    Fault("redis", signal.SIGSTOP, 7.0): 0,
}


@needs("redis-server", "redis-server", "relays on a bus were not tried")
@pytest.mark.slow
@pytest.mark.parametrize(("fault", "told_left"), FAULTS.items(), ids=map(str, FAULTS))
def test_whichever_part_is_killed_or_stands_still_rooms_are_whole_again_and_nobody_is_taken_for_gone(
    fault: Fault, told_left: int, tmp_path: Path
) -> None:
    with world(tmp_path, MEMBERS, is_one=False) as made:
        made.all_come()
        seen = made.suffer(fault, RATE)
        assert seen.said, seen
        assert (seen.missed, seen.unreplayed, seen.twice, seen.wrong) == (0, 0, 0, 0), seen
        assert seen.told_left == told_left, seen


@needs("redis-server", "redis-server", "relays on a bus were not tried")
@pytest.mark.slow
def test_who_stays_away_leaves_six_seconds_later_and_after_a_killed_relay_at_the_end_of_its_lease(
    tmp_path: Path,
) -> None:
    with world(tmp_path, MEMBERS, is_one=False) as made:
        made.all_come()
        first, _ = stay_away(made, 20)
        assert first > LEAVE_DELAY_S - 0.1
        first, _ = stay_away(made, 40, Fault("a", signal.SIGKILL, 1.0))
        assert first > LEASE_S - BEAT_S - 0.1, "half of these had left before"
