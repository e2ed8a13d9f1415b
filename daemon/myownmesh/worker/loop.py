"""The worker's loop: callbacks for sockets that are ready, and one for each second.

No scheduler and no tasks: a relayed datagram passes two system calls and a few function calls.
"""

from __future__ import annotations

import select
import selectors
import time
from collections.abc import Callable
from typing import Protocol

from myownmesh.protocol.clock import Instant

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


Ready = Callable[[int], None]


class HasFileno(Protocol):
    def fileno(self) -> int: ...


class Poller(Protocol):
    """What says which descriptors are ready."""

    def register(self, descriptor: int, events: int) -> None: ...

    def modify(self, descriptor: int, events: int) -> None: ...

    def unregister(self, descriptor: int) -> None: ...

    def poll(self, seconds: float) -> list[tuple[int, int]]:
        """Descriptors and what each is ready for, or broken."""
        ...

    def close(self) -> None: ...


class Loop:
    """One thread's sockets. A callback must not wait and must not raise."""

    def __init__(self, poller: Poller | None = None) -> None:
        self._poller = poller or best_poller()
        self._watched: dict[int, tuple[Ready, int]] = {}
        self._soon: dict[Callable[[], None], None] = {}
        """in the order in which they were asked for"""
        self._is_ending = False

    def watch(self, file: HasFileno | int, ready: Ready, events: int = READ) -> None:
        """Call `ready` with the events that a file is ready for."""
        descriptor = _descriptor(file)
        self._poller.register(descriptor, events)
        self._watched[descriptor] = ready, events

    def change(self, file: HasFileno | int, events: int) -> None:
        descriptor = _descriptor(file)
        self._poller.modify(descriptor, events)
        self._watched[descriptor] = self._watched[descriptor][0], events

    def forget(self, file: HasFileno | int) -> None:
        descriptor = _descriptor(file)
        self._poller.unregister(descriptor)
        del self._watched[descriptor]

    def events_of(self, file: HasFileno | int) -> int:
        """What it is watched for."""
        return self._watched[_descriptor(file)][1]

    def soon(self, call: Callable[[], None]) -> None:
        """Call it once, behind what is ready in this turn; asked by such a call, or outside of a turn: in the next.

        Asked for again before it is called it is still called once.
        """
        self._soon[call] = None

    def end(self) -> None:
        self._is_ending = True

    def close(self) -> None:
        """Give back what the loop itself holds."""
        self._poller.close()

    def run(self, tick: Callable[[Instant], None], pause_s: Callable[[], float]) -> None:
        """Until `end`; `tick` is called once in `pause_s` seconds, which may be others after each callback."""
        monotonic = time.monotonic
        last = now = monotonic()
        due = last + pause_s()
        while not self._is_ending:
            self._turn(max(0.0, due - now))
            now = monotonic()
            due = last + pause_s()
            if now >= due:
                last = now
                tick(instant())
                due = last + pause_s()
        self._is_ending = False

    def _turn(self, seconds: float) -> None:
        """Call back for what is ready, or will be in so many seconds."""
        watched = self._watched
        found = [(each, events, watched[each]) for each, events in self._poller.poll(0.0 if self._soon else seconds)]
        for descriptor, events, entry in found:
            # A callback in front of this one may have closed its socket, and another may have its number.
            current = watched.get(descriptor)
            if current is not None and current[0] is entry[0] and (wanted := events & current[1]):
                current[0](wanted)
        if self._soon:
            soon, self._soon = self._soon, {}
            for call in soon:
                call()


def best_poller() -> Poller:
    """The quickest of this system."""
    return Epoll() if hasattr(select, "epoll") else Selector()


class Epoll:
    """Linux's, without what `selectors` makes of each answer."""

    def __init__(self) -> None:
        self._epoll = select.epoll()

    def unregister(self, descriptor: int) -> None:
        self._epoll.unregister(descriptor)

    def close(self) -> None:
        self._epoll.close()

    def register(self, descriptor: int, events: int) -> None:
        self._epoll.register(descriptor, _mask(events))

    def modify(self, descriptor: int, events: int) -> None:
        self._epoll.modify(descriptor, _mask(events))

    def poll(self, seconds: float) -> list[tuple[int, int]]:
        found = self._epoll.poll(seconds)
        # What is broken is ready for both: whoever reads or writes learns why.
        return [(each, _EVENTS.get(mask, READ | WRITE)) for each, mask in found]


class Selector:
    """Any system's."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()

    def register(self, descriptor: int, events: int) -> None:
        self._selector.register(descriptor, events)

    def unregister(self, descriptor: int) -> None:
        self._selector.unregister(descriptor)

    def modify(self, descriptor: int, events: int) -> None:
        self._selector.modify(descriptor, events)

    def close(self) -> None:
        self._selector.close()

    def poll(self, seconds: float) -> list[tuple[int, int]]:
        return [(key.fd, events) for key, events in self._selector.select(seconds)]


def instant() -> Instant:
    return Instant(time.monotonic(), time.time_ns() // 1_000_000)


_EVENTS = {getattr(select, "EPOLLIN", 1): READ, getattr(select, "EPOLLOUT", 4): WRITE}


def _mask(events: int) -> int:
    return (select.EPOLLIN if events & READ else 0) | (select.EPOLLOUT if events & WRITE else 0)


def _descriptor(file: HasFileno | int) -> int:
    return file if isinstance(file, int) else file.fileno()
