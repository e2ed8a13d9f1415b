"""Procedures: sequences of steps that read like a story and wait without a loop, a clock or a socket. Pure.

A procedure is a generator. It yields what it needs (an answer, a condition, some seconds) and is resumed by the
machine, so a start of ten operations is written top to bottom and tested with literal times. It belongs to a life, a
number; ending the life ends its procedures where they stand, and answers that are still under way reach nobody.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Final, TypeVar

import attrs

from mesh_common.values import Value
from myownllm.client import messages
from myownllm.client.messages import Carry, Notice, Request

if TYPE_CHECKING:
    from collections.abc import Callable

    from myownllm.errors import Failure

FOREVER: Final = float("inf")
NO_LIFE: Final = 0
"""Owner of what outlives lives: following the catalog, trying again."""


class Until(Value, frozen=True):
    """Wait for a condition, at most `within_s` seconds."""

    condition: Callable[[], bool]
    within_s: float = FOREVER


def pause(seconds: float) -> Until:
    """Wait for that long."""
    return Until(lambda: False, seconds)


ResultT = TypeVar("ResultT")
Step = Request | Notice | Until
Procedure = Generator[Step, object, ResultT]
"""Yielding a request gives its answer, or raises its Failure; a notice goes out at once."""


@attrs.define(eq=False)
class _Running:
    steps: Procedure[None]
    life: int
    asks: Request | None = None
    condition: Callable[[], bool] | None = None
    deadline: float = FOREVER
    is_dropped: bool = False


class Procedures:
    """The running procedures of one machine. What they say is collected in `out`, in order; the machine empties it."""

    def __init__(self) -> None:
        self.out: list[Carry | Notice] = []
        self.now = 0.0
        """seconds of the machine's clock, set before anything else is called"""
        self._numbers = 0
        self._asking: dict[int, _Running] = {}
        self._waiting: list[_Running] = []
        self._active: list[_Running] = []

    def begin(self, steps: Procedure[None], life: int) -> None:
        """Run a procedure up to the first step that has to wait."""
        self._advance(_Running(steps, life))

    def reply(self, number: int, answer: object, error: Failure | None) -> None:
        """The answer to a carried request; one that nobody waits for any more is dropped."""
        running = self._asking.pop(number, None)
        if running is not None:
            self._advance(running, answer, error)

    def drop(self, life: int) -> None:
        """End the procedures of a life; one that is in the middle of a step ends when it wants to wait."""
        for running in self._active:
            running.is_dropped |= running.life == life
        ended = [r for r in (*self._asking.values(), *self._waiting) if r.life == life]
        self._asking = {n: r for n, r in self._asking.items() if r not in ended}
        self._waiting = [r for r in self._waiting if r not in ended]
        for running in ended:
            running.steps.close()

    def settle(self) -> None:
        """Go on with every procedure whose condition is met or whose time has come, until all of them wait again."""
        while True:
            ready = next((r for r in self._waiting if self._is_ready(r)), None)
            if ready is None:
                return
            self._waiting.remove(ready)
            self._advance(ready)

    def next_timer(self) -> float | None:
        """When a wait is over although nothing happens; None when there is none."""
        deadline = min((r.deadline for r in self._waiting), default=FOREVER)
        return None if deadline == FOREVER else deadline

    def longest_ask(self, life: int) -> str | None:
        """The operation that a life has been waiting for the longest."""
        asks = (r.asks for r in self._asking.values() if r.life == life)
        return next((a.operation for a in asks if isinstance(a, messages.Ask)), None)

    def _is_ready(self, running: _Running) -> bool:
        return running.deadline <= self.now or (running.condition is not None and running.condition())

    def _advance(self, running: _Running, value: object = None, error: Failure | None = None) -> None:
        self._active.append(running)
        try:
            step = running.steps.send(value) if error is None else running.steps.throw(error)
            while not running.is_dropped:
                match step:
                    case Until(condition, within_s):
                        running.condition, running.deadline = condition, self.now + within_s
                        self._waiting.append(running)
                        return
                    case messages.Ask() | messages.ReadCatalog() | messages.ReadOwned():
                        self._numbers += 1
                        running.asks = step
                        self._asking[self._numbers] = running
                        self.out.append(Carry(self._numbers, running.life, step))
                        return
                    case notice:
                        self.out.append(notice)
                        step = running.steps.send(None)
        except StopIteration:
            return
        finally:
            self._active.remove(running)
        running.steps.close()
