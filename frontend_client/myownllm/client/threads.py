"""Blocking work in a worker thread that can be asked to stop."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import trio

from myownllm.errors import FAILURES

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


async def in_thread(work: Callable[[Callable[[], bool]], T], limiter: trio.CapacityLimiter | None = None) -> T:
    """`work(given_up)` in a worker thread. A cancelled caller waits until the thread has seen that and returned.

    So nothing touches a file any more that its owner closes. `work` fails with one of FAILURES or OSError only. Work
    that waits for others brings a `limiter` of its own, or what only computes would wait for a thread.
    """
    stop = trio.Event()

    async def watch() -> None:
        try:
            await trio.sleep_forever()
        finally:
            stop.set()

    done: list[T] = []
    failed: list[Exception] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch)
        with trio.CancelScope(shield=True):
            try:
                done.append(await trio.to_thread.run_sync(work, stop.is_set, limiter=limiter))
            except (*FAILURES, OSError) as error:  # raised outside of the nursery, which would make a group of it
                failed.append(error)
        nursery.cancel_scope.cancel()
    if failed:
        raise failed[0]
    return done[0]
