"""Work that a person here may end while it waits for something, also from the middle of an async generator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

import trio

from mesh_common.client.errors import ControlError, ErrorKind

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")

ENDED_TEXT: Final = "ended by the person at this device"


class Brake:
    """Ends the wait that is under way, and every later one."""

    def __init__(self) -> None:
        self._pulled = False
        self._scope = trio.CancelScope()

    def pull(self) -> None:
        self._pulled = True
        self._scope.cancel()

    async def wait(self, work: Callable[[], Awaitable[T]]) -> T:
        """What `work` returns. Raises ControlError STOPPED once the brake is pulled."""
        if not self._pulled:
            with trio.CancelScope() as self._scope:
                return await work()
        raise ControlError(ErrorKind.STOPPED, ENDED_TEXT)
