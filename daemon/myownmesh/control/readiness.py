"""Being told that a socket can be read or written.

Connections are driven by callbacks, so that the frequent ops cost no task switch. Who calls back is open: the daemon
hands in its host loop, for which trio itself is a guest, and saves the hop into trio's I/O thread for every request;
under plain trio `TrioReadiness` does the same with one small task per watched socket.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import trio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


class Readiness(Protocol):
    """Exactly the methods of an asyncio event loop, which satisfies this as it is. Callbacks never nest."""

    def add_reader(self, fd: int, callback: Callable[[], object], /) -> object:
        """Call back whenever `fd` can be read, again and again, until removed."""
        ...

    def remove_reader(self, fd: int, /) -> object:
        """Harmless when there is none."""
        ...

    def add_writer(self, fd: int, callback: Callable[[], object], /) -> object: ...

    def remove_writer(self, fd: int, /) -> object: ...

    def call_soon(self, callback: Callable[[], object], /) -> object:
        """Call back once, after whatever else is ready now."""
        ...


class TrioReadiness:
    """`Readiness` on trio alone. Its tasks live in the nursery that it is given."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self._readers: dict[int, trio.CancelScope] = {}
        self._writers: dict[int, trio.CancelScope] = {}

    def add_reader(self, fd: int, callback: Callable[[], object], /) -> None:
        self._watch(self._readers, trio.lowlevel.wait_readable, fd, callback)

    def remove_reader(self, fd: int, /) -> None:
        _stop(self._readers, fd)

    def add_writer(self, fd: int, callback: Callable[[], object], /) -> None:
        self._watch(self._writers, trio.lowlevel.wait_writable, fd, callback)

    def remove_writer(self, fd: int, /) -> None:
        _stop(self._writers, fd)

    def call_soon(self, callback: Callable[[], object], /) -> None:
        self._nursery.start_soon(_once, callback)

    def _watch(
        self,
        scopes: dict[int, trio.CancelScope],
        wait: Callable[[int], Awaitable[None]],
        fd: int,
        callback: Callable[[], object],
    ) -> None:
        _stop(scopes, fd)
        scope = scopes[fd] = trio.CancelScope()
        self._nursery.start_soon(_loop, scope, wait, fd, callback)


def _stop(scopes: dict[int, trio.CancelScope], fd: int) -> None:
    scope = scopes.pop(fd, None)
    if scope is not None:
        # Takes the descriptor out of trio's poll set at once, so that it may be closed right after this.
        scope.cancel()


async def _loop(
    scope: trio.CancelScope, wait: Callable[[int], Awaitable[None]], fd: int, callback: Callable[[], object]
) -> None:
    with scope:
        while not scope.cancel_called:  # cancelled before its first turn: the descriptor may be another one by now
            await wait(fd)
            callback()


async def _once(callback: Callable[[], object]) -> None:
    callback()
