"""The worker's loop: callbacks for sockets that are ready, and one for each second.

No scheduler and no tasks: a relayed datagram passes two system calls and a few function calls.
"""

from __future__ import annotations

import selectors
import time
from collections.abc import Callable
from typing import Protocol

from myownmesh.protocol.clock import Instant

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


Ready = Callable[[int], None]


class HasFileno(Protocol):
    def fileno(self) -> int: ...


class Loop:
    """One thread's sockets. A callback must not wait and must not raise."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._watched: dict[HasFileno | int, Ready] = {}
        self._is_ending = False

    def watch(self, file: HasFileno | int, ready: Ready, events: int = READ) -> None:
        """Call `ready` with the events that a file is ready for."""
        self._selector.register(file, events, ready)
        self._watched[file] = ready

    def change(self, file: HasFileno | int, events: int) -> None:
        self._selector.modify(file, events, self._watched[file])

    def forget(self, file: HasFileno | int) -> None:
        self._selector.unregister(file)
        del self._watched[file]

    def events_of(self, file: HasFileno | int) -> int:
        """What it is watched for."""
        return self._selector.get_key(file).events

    def end(self) -> None:
        self._is_ending = True

    def close(self) -> None:
        """Give back what the loop itself holds."""
        self._selector.close()

    def run(self, tick: Callable[[Instant], None], pause_s: Callable[[], float]) -> None:
        """Until `end`; `tick` is called once in `pause_s` seconds, which may be others after each callback."""
        select, watched, monotonic = self._selector.select, self._watched, time.monotonic
        last = now = monotonic()
        while not self._is_ending:
            for key, events in select(max(0.0, last + pause_s() - now)):
                # A callback in front of this one may have closed its socket.
                ready = watched.get(key.fileobj)
                if ready is not None and ready is key.data:
                    ready(events)
            now = monotonic()
            if now - last >= pause_s():
                last = now
                tick(instant())


def instant() -> Instant:
    return Instant(time.monotonic(), time.time_ns() // 1_000_000)
