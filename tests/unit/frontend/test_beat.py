"""Common moments for looks."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from myownllm.beat import TICK_S, beat, until_beat
from support.examples import examples


@settings(max_examples=examples(30), deadline=None)
@given(st.sampled_from([0.05, 1.0, 2.0]), st.floats(0, 1e9))
def test_the_next_beat_is_ahead_and_within_a_period(period_s: float, now: float) -> None:
    assert 0 < until_beat(period_s, now) <= period_s


async def test_who_looks_every_second_and_who_looks_every_other_do_it_together(autojump_clock: Any) -> None:
    looked: dict[float, list[float]] = {1.0: [], 2.0: []}

    async def look(period_s: float, after_s: float) -> None:
        await trio.sleep(after_s)
        while True:
            await beat(period_s)
            looked[period_s].append(trio.current_time())

    with trio.move_on_after(10.5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(look, 1.0, 0.3)
            nursery.start_soon(look, 2.0, 0.7)
    assert len(looked[1.0]) >= 9
    assert [min(abs(at - other) for other in looked[1.0]) for at in looked[2.0]] == pytest.approx([0] * 5, abs=1e-6)


def test_beat_follows_beat_with_nothing_between() -> None:
    """A period that is no binary fraction is missed by a rounding now and then, and the next beat comes at once."""
    now = 0.0
    for number in range(1, 1000):
        now += until_beat(TICK_S, now)
        assert now == number * TICK_S
