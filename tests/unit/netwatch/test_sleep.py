"""A sleep, a stop and a clock that was set are told apart (spec 04 §15 no. 6)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from myownmesh.netwatch.sleep import CLOCK_SET_S, SLEPT_S, STOOD_STILL_S, Oddity, Reading, SleepWatch

if TYPE_CHECKING:
    from myownmesh.netwatch.sleep import Seen

FIRST = Reading(50.0, 1000.0, 1_700_000_000.0)


def tick(*, awake: float = 2.0, slept: float = 0.0, clock_set: float = 0.0) -> Seen | None:
    """Two seconds were meant to pass."""
    boot = awake + slept
    watch = SleepWatch(FIRST)
    reading = Reading(FIRST.awake + awake, FIRST.boot + boot, FIRST.wall + boot + clock_set)
    return watch.tick(reading, FIRST.awake + 2.0)


@pytest.mark.parametrize(
    ("seen", "oddity", "seconds"),
    [
        (tick(slept=3600.0), Oddity.SLEPT, 3600.0),
        (tick(slept=5.0, clock_set=-5.0), Oddity.SLEPT, 5.0),
        (tick(awake=77.0), Oddity.STOOD_STILL, 75.0),
        (tick(awake=77.0, clock_set=9.0), Oddity.STOOD_STILL, 75.0),
        (tick(clock_set=3600.0), Oddity.CLOCK_SET, 3600.0),
        (tick(clock_set=-3600.0), Oddity.CLOCK_SET, -3600.0),
    ],
)
def test_what_happened_between_two_ticks(seen: Seen | None, oddity: Oddity, seconds: float) -> None:
    assert seen is not None
    assert (seen.oddity, round(seen.seconds, 3)) == (oddity, seconds)


@given(
    st.floats(0.0, STOOD_STILL_S + 1.9),
    st.floats(0.0, SLEPT_S * 0.99),
    st.floats(-CLOCK_SET_S * 0.99, CLOCK_SET_S * 0.99),
)
def test_small_differences_are_nothing(awake: float, slept: float, clock_set: float) -> None:
    assert tick(awake=awake, slept=slept, clock_set=clock_set) is None


@given(st.floats(-1e9, 1e9))
def test_no_clock_that_is_set_is_taken_for_a_sleep(clock_set: float) -> None:
    seen = tick(clock_set=clock_set)
    assert seen is None or seen.oddity is Oddity.CLOCK_SET


def test_each_tick_starts_anew() -> None:
    watch = SleepWatch(FIRST)
    reading = Reading(FIRST.awake + 2, FIRST.boot + 102, FIRST.wall + 102)
    assert watch.tick(reading, FIRST.awake + 2) is not None
    following = Reading(reading.awake + 2, reading.boot + 2, reading.wall + 2)
    assert watch.tick(following, reading.awake + 2) is None
