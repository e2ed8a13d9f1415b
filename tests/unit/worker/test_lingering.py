"""Whether a worker waits awake or sleeps."""

from __future__ import annotations

import itertools
import socket

from myownmesh.worker.lingering import IN_VAIN, LINGER_S, UNTRIED, Lingering
from myownmesh.worker.loop import READ, Poller, best_poller

AT_ONCE = 0.0
A_WHILE = 5.0


class Scripted(Poller):
    """Finds something at each so-manieth look, and writes down how long it was to wait."""

    def __init__(self, *, at_each: int = 0) -> None:
        self.looks: list[float] = []
        self.at_each = at_each

    def register(self, descriptor: int, events: int) -> None: ...

    def modify(self, descriptor: int, events: int) -> None: ...

    def unregister(self, descriptor: int) -> None: ...

    def close(self) -> None: ...

    def poll(self, seconds: float) -> list[tuple[int, int]]:
        self.looks.append(seconds)
        return [(1, READ)] if self.at_each and len(self.looks) % self.at_each == 0 else []


def lingering(poller: Poller, looks_in_a_moment: int = 4) -> Lingering:
    """With a clock that goes on by a part of the moment at each question."""
    ticks = itertools.count(1000.0, LINGER_S / looks_in_a_moment)
    return Lingering(poller, lambda: next(ticks))


def test_what_comes_soon_finds_it_awake() -> None:
    inner = Scripted(at_each=3)
    outer = lingering(inner)
    for _ in range(100):
        assert outer.poll(A_WHILE) == [(1, READ)]
    assert inner.looks == [AT_ONCE] * 300


def test_where_nothing_comes_soon_it_sleeps_at_once_and_tries_again_now_and_then() -> None:
    inner = Scripted()
    outer = lingering(inner)
    for _ in range(IN_VAIN + 1):
        inner.looks.clear()
        assert outer.poll(A_WHILE) == []
        assert set(inner.looks[:-1]) == {AT_ONCE}
        assert inner.looks[-1] == A_WHILE
    for _ in range(3):
        inner.looks.clear()
        for _ in range(UNTRIED):
            outer.poll(A_WHILE)
        assert inner.looks == [A_WHILE] * UNTRIED
        inner.looks.clear()
        outer.poll(A_WHILE)
        assert inner.looks[0] == AT_ONCE


def test_one_that_came_in_time_is_enough_to_wait_awake_again() -> None:
    inner = Scripted()
    outer = lingering(inner)
    for _ in range(IN_VAIN + 1 + UNTRIED):
        outer.poll(A_WHILE)
    inner.at_each = 3
    inner.looks.clear()
    for _ in range(IN_VAIN):
        assert outer.poll(A_WHILE) == [(1, READ)]
    inner.at_each = 0
    inner.looks.clear()
    outer.poll(A_WHILE)
    outer.poll(A_WHILE)
    assert inner.looks.count(A_WHILE) == 2
    assert inner.looks.count(AT_ONCE) > 2, "it has been worth it, so it is tried more than once"


def test_whoever_does_not_want_to_wait_does_not() -> None:
    inner = Scripted()
    outer = lingering(inner)
    for _ in range(100):
        assert outer.poll(AT_ONCE) == []
    assert inner.looks == [AT_ONCE] * 100


def test_a_real_poller_is_woken_behind_it() -> None:
    outer = Lingering(best_poller())
    one, other = socket.socketpair()
    with one, other:
        outer.register(one.fileno(), READ)
        assert outer.poll(0.001) == []
        other.send(b"x")
        assert outer.poll(A_WHILE) == [(one.fileno(), READ)]
        outer.unregister(one.fileno())
        assert outer.poll(0.001) == []
    outer.close()
