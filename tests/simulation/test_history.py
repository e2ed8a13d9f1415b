"""What a run remembers is bounded: an hour of fifty devices must not take a gigabyte."""

from __future__ import annotations

from myownmesh.simulator.history import KEPT, Recent


def test_the_older_half_is_forgotten_and_the_newer_one_is_there() -> None:
    history: Recent[int] = Recent()
    most = 0
    for number in range(5 * KEPT):
        history.append(number)
        most = max(most, len(history))
    assert most == 2 * KEPT
    assert history[-KEPT:] == list(range(4 * KEPT, 5 * KEPT))
