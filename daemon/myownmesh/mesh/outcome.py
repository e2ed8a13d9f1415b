"""From callbacks to tasks: an operation that calls back when it is done, as something to await."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import trio

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


async def outcome(start: Callable[[Callable[[T], None]], Callable[[], None] | None]) -> T:
    """Run `start(done)` and return what it hands to `done`, which it must call once, at once or later.

    `start` may return what abandons the operation: it is called when the wait is cancelled. An operation that is done
    already is not cancelled any more. There is no time limit here; every operation of the mesh has one of its own.
    """
    results: list[T] = []
    ended = trio.Event()

    def done(result: T) -> None:
        results.append(result)
        ended.set()

    abandon = start(done)
    try:
        if not results:
            await ended.wait()
    finally:
        if not results and abandon is not None:
            abandon()
    return results[0]
