"""A bounded queue from the reader of the event connection to one task of the program."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

import anyio
from anyio.lowlevel import checkpoint

if TYPE_CHECKING:
    from mesh_common.client.errors import ControlError

T = TypeVar("T")


class Inbox(Generic[T]):
    """Items in order until the end. Filling never waits: when it is full the oldest item falls and is counted.

    One task iterates. The iteration ends with `end()`, or raises the error given there.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._items: deque[T] = deque()
        self._news = anyio.Event()
        self._ended = False
        self._error: ControlError | None = None
        self.skipped = 0
        """Items that fell since `take_skipped`."""

    def put(self, item: T) -> None:
        if self._ended:
            return
        if len(self._items) == self._capacity:
            self._items.popleft()
            self.skipped += 1
        self._items.append(item)
        self._news.set()

    @property
    def full(self) -> bool:
        return len(self._items) == self._capacity

    def end(self, error: ControlError | None = None) -> None:
        """No more items; what is there is still read. The first end counts."""
        if not self._ended:
            self._ended, self._error = True, error
            self._news.set()

    def take_skipped(self) -> int:
        skipped, self.skipped = self.skipped, 0
        return skipped

    def __aiter__(self) -> Inbox[T]:
        return self

    async def __anext__(self) -> T:
        await checkpoint()
        while not self._items:
            if self._ended:
                if self._error is not None:
                    raise self._error
                raise StopAsyncIteration
            self._news = anyio.Event()
            await self._news.wait()
        return self._items.popleft()
