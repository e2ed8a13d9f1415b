"""trio as a guest of asyncio's loop: the one module that joins the two worlds.

The WebRTC stack lives on asyncio, everything else of ours on trio. `run` starts uvloop and lets trio's scheduler ride
on it, so both run on one thread and need no locks. Code that the loop calls may use trio's synchronous methods
(`Event.set`, `send_nowait`, `CancelScope.cancel`); trio wakes up for them.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, TypeVar, TypeVarTuple, Unpack

import trio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from outcome import Outcome

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

log = logging.getLogger(__name__)

DRAIN_SECONDS = 2.5
"""How long tasks of the loop may finish their closing after trio's main function has returned."""


def new_event_loop() -> asyncio.AbstractEventLoop:
    """The fastest loop there is: uvloop moves 1.6 times what asyncio's own moves."""
    import uvloop

    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


def run(async_fn: Callable[[Unpack[Ts]], Awaitable[T]], *args: *Ts) -> T:
    """Run a trio main function as a guest of a new loop, like `trio.run`.

    Returns or raises what `async_fn` does. `KeyboardInterrupt` and `trio.open_signal_receiver` work as under
    `trio.run`; the loop installs no signal handlers. When `async_fn` has ended, tasks of the loop (closing sessions)
    get `DRAIN_SECONDS` and are cancelled then.
    """
    loop = new_event_loop()
    loop.set_exception_handler(_log_exception)
    finished: asyncio.Future[Outcome[T]] = loop.create_future()

    def done(outcome: Outcome[T]) -> None:
        finished.set_result(outcome)

    async def host() -> Outcome[T]:
        trio.lowlevel.start_guest_run(
            async_fn,
            *args,
            run_sync_soon_threadsafe=loop.call_soon_threadsafe,
            run_sync_soon_not_threadsafe=loop.call_soon,
            done_callback=done,
            host_uses_signal_set_wakeup_fd=True,
            restrict_keyboard_interrupt_to_checkpoints=False,
        )
        return await finished

    try:
        asyncio.set_event_loop(loop)
        outcome = loop.run_until_complete(host())
        _finish_tasks(loop)
    finally:
        asyncio.set_event_loop(None)
        try:
            loop.close()
        except OSError as error:  # uvloop, when something has left a socket open; the result must not suffer
            log.debug("the loop did not close cleanly: %s", error)
    return outcome.unwrap()


def host_loop() -> asyncio.AbstractEventLoop:
    """The loop that trio is a guest of; for parts that are called back by it instead of waiting in a task."""
    return asyncio.get_running_loop()


def _finish_tasks(loop: asyncio.AbstractEventLoop) -> None:
    async def drain() -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        if tasks:
            _, pending = await asyncio.wait(tasks, timeout=DRAIN_SECONDS)
            for task in pending:
                task.cancel()
            if pending:
                await asyncio.wait(pending, timeout=1.0)
        await loop.shutdown_asyncgens()

    loop.run_until_complete(drain())


def _log_exception(loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
    """A bug in a callback: log it with its traceback; the loop and everybody else go on."""
    error = context.get("exception")
    cause = error if isinstance(error, BaseException) else None
    log.error("error in a transport callback: %s", context.get("message") or repr(cause), exc_info=cause)
