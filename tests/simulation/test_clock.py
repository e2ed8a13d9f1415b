"""The virtual clock: whatever is asked for comes in the order of its time, equal times in the order of asking."""

from __future__ import annotations

import random
from functools import partial

from myownmesh.simulator.clock import VirtualClock


def test_everything_comes_in_its_order_also_what_was_asked_for_together() -> None:
    rng = random.Random(1)
    clock = VirtualClock()
    asked: list[tuple[float, int]] = []
    came: list[tuple[float, int]] = []

    def ask(delay: float) -> tuple[float, int]:
        asked.append((clock.seconds + delay, len(asked)))
        return asked[-1]

    def come(key: tuple[float, int]) -> None:
        assert clock.seconds == key[0]
        came.append(key)
        if rng.random() < 0.5:
            act()

    def act() -> None:
        span = rng.choice((0.0, 0.01, 1.5, 40.0))
        delays = [rng.choice((0.0, span, rng.uniform(0.0, span))) for _ in range(rng.randrange(4))]
        if rng.random() < 0.5:
            clock.all_after([(delay, ask(delay)) for delay in delays], come)
        else:
            for delay in delays:
                clock.after(delay, partial(come, ask(delay)))

    for _ in range(300):
        act()
        clock.run(rng.uniform(0.0, 3.0))
    clock.run(1e6)
    assert len(came) > 200
    assert came == sorted(asked)


def test_a_run_ends_at_its_time_or_as_soon_as_something_is_so() -> None:
    clock = VirtualClock()
    came: list[float] = []
    for delay in (0.5, 1.0, 7.25, 300.0):
        clock.after(delay, lambda: came.append(clock.seconds))
    assert clock.run(1.0)
    assert came == [0.5, 1.0]
    assert clock.run(100.0, lambda: len(came) == 3)
    assert clock.seconds == 7.25
    assert not clock.run(100.0, lambda: len(came) == 4)
    assert clock.seconds == 107.25
