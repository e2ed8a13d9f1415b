"""Operations that call back, awaited."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio
import trio.testing

from myownmesh.mesh.outcome import outcome

if TYPE_CHECKING:
    from collections.abc import Callable


class Operation:
    """Ends when the test says so."""

    def __init__(self, at_once: str | None = None) -> None:
        self.at_once = at_once
        self.done: Callable[[str], None] | None = None
        self.abandoned = 0

    def start(self, done: Callable[[str], None]) -> Callable[[], None]:
        self.done = done
        if self.at_once is not None:
            done(self.at_once)
        return self.abandon

    def abandon(self) -> None:
        self.abandoned += 1

    def end(self, result: str) -> None:
        assert self.done is not None
        self.done(result)


async def test_an_operation_that_is_done_at_once_is_not_cancelled_any_more() -> None:
    operation = Operation("early")
    with trio.CancelScope() as scope:
        scope.cancel()
        assert await outcome(operation.start) == "early"
    assert not scope.cancelled_caught
    assert operation.abandoned == 0


async def test_an_operation_that_ends_later_is_waited_for(nursery: trio.Nursery) -> None:
    operation = Operation()
    results: list[str] = []

    async def wait() -> None:
        results.append(await outcome(operation.start))

    nursery.start_soon(wait)
    await trio.testing.wait_all_tasks_blocked()
    assert results == []
    operation.end("late")
    await trio.testing.wait_all_tasks_blocked()
    assert results == ["late"]
    assert operation.abandoned == 0


async def test_a_cancelled_wait_abandons_the_operation() -> None:
    operation = Operation()
    with trio.move_on_after(0.0) as scope:
        await outcome(operation.start)
    assert scope.cancelled_caught
    assert operation.abandoned == 1


async def test_an_operation_that_nothing_abandons_may_end_after_the_wait() -> None:
    kept: list[Callable[[str], None]] = []
    with trio.move_on_after(0.0):
        await outcome(kept.append)
    kept[0]("too late")
    assert len(kept) == 1
