"""Callbacks for what is ready, with the system's quickest poller and with the portable one."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from myownmesh.worker.loop import READ, WRITE, Loop, Selector, best_poller

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(params=[best_poller, Selector], ids=["best", "portable"])
def loop(request: pytest.FixtureRequest) -> Iterator[Loop]:
    made = Loop(request.param())
    yield made
    made.close()


def run(loop: Loop) -> None:
    loop.run(lambda _now: loop.end(), lambda: 0.01)


def test_each_is_called_for_what_it_is_watched_for(loop: Loop) -> None:
    one, other = socket.socketpair()
    called: list[tuple[str, int]] = []

    def read(events: int) -> None:
        called.append(("one", events))
        one.recv(10)

    def write(events: int) -> None:
        called.append(("other", events))
        loop.change(other, READ)
        other.send(b"x")

    with one, other:
        loop.watch(one, read)
        loop.watch(other, write, READ | WRITE)
        assert loop.events_of(other) == READ | WRITE
        run(loop)
        assert called[0] == ("other", WRITE)
        assert set(called[1:]) <= {("one", READ)}
        assert loop.events_of(other) == READ


def test_whoever_was_closed_by_another_callback_is_not_called(loop: Loop) -> None:
    pairs = [socket.socketpair() for _ in range(2)]
    called: list[int] = []

    def ready(number: int) -> None:
        called.append(number)
        loop.forget(pairs[1 - number][0])
        loop.forget(pairs[number][0])

    for number, (mine, theirs) in enumerate(pairs):
        theirs.send(b"x")
        loop.watch(mine, lambda _events, number=number: ready(number))  # type: ignore[misc]  # the default is an int
    run(loop)
    assert len(called) == 1
    for mine, theirs in pairs:
        mine.close()
        theirs.close()


def test_what_is_broken_is_told(loop: Loop) -> None:
    one, other = socket.socketpair()
    called: list[int] = []

    def ready(events: int) -> None:
        called.append(events)
        loop.forget(one)

    with one:
        loop.watch(one, ready)
        other.close()
        run(loop)
        assert called == [READ]


def test_what_is_to_be_done_soon_is_done_once_behind_all_that_is_ready(loop: Loop) -> None:
    pairs = [socket.socketpair() for _ in range(2)]
    called: list[str] = []

    def ready(number: int) -> None:
        called.append("ready")
        pairs[number][0].recv(10)
        loop.soon(lambda: called.append("soon"))

    loop.soon(lambda: loop.soon(lambda: called.append("in the next turn")))
    for number, (mine, theirs) in enumerate(pairs):
        theirs.send(b"x")
        loop.watch(mine, lambda _events, number=number: ready(number))  # type: ignore[misc]  # the default is an int
    run(loop)
    assert called == ["ready", "ready", "soon", "soon", "in the next turn"]
    for mine, theirs in pairs:
        mine.close()
        theirs.close()


def test_what_is_asked_for_again_before_it_is_done_is_done_once(loop: Loop) -> None:
    called: list[str] = []

    def say() -> None:
        called.append("said")
        if len(called) == 1:
            loop.soon(say)  # what comes up while it speaks is said in the next turn

    for _ in range(3):
        loop.soon(say)
    run(loop)
    assert called == ["said", "said"]
