"""asyncio code called from a trio test that runs as a guest."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

import trio

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")


async def on_loop(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run an asyncio coroutine from trio."""
    done = trio.Event()
    task = asyncio.ensure_future(coroutine)
    task.add_done_callback(lambda _: done.set())
    await done.wait()
    return task.result()
