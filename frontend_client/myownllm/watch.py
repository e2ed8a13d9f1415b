"""A value that tasks can wait on: set by its one owner, seen by everybody, never a queue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

import trio

if TYPE_CHECKING:
    from collections.abc import Callable

ValueT = TypeVar("ValueT")


class Watch(Generic[ValueT]):
    """The newest value; a waiter that is slow sees only the last of several changes."""

    def __init__(self, value: ValueT) -> None:
        self._value = value
        self._changed = trio.Event()

    @property
    def value(self) -> ValueT:
        return self._value

    def set(self, value: ValueT) -> None:
        """Replace the value and wake everybody who waits."""
        self._value = value
        changed, self._changed = self._changed, trio.Event()
        changed.set()

    async def changed(self) -> ValueT:
        """The value after the next `set`."""
        await self._changed.wait()
        return self._value

    async def until(self, condition: Callable[[ValueT], bool]) -> ValueT:
        """The first value, present or later, that meets the condition. Waits for as long as the caller lets it."""
        while not condition(self._value):
            await self._changed.wait()
        return self._value
