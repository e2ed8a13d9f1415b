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

READ, WRITE = 1, 4
"""As epoll has them: it is asked for each relayed datagram, and what it says needs no translation."""
_BOTH = READ | WRITE

Ready = Callable[[int], None]


class HasFileno(Protocol):
    def fileno(self) -> int: ...


class Poller(Protocol):
    """What says which descriptors are ready."""

    def register(self, descriptor: int, events: int) -> None: ...

    def modify(self, descriptor: int, events: int) -> None: ...

    def unregister(self, descriptor: int) -> None: ...

    def poll(self, seconds: float) -> list[tuple[int, int]]:
        """Descriptors and what each is ready for; any other bit: it is broken."""
        ...

    def close(self) -> None: ...


class Loop:
    """One thread's sockets. A callback must not wait and must not raise."""

    def __init__(self, poller: Poller | None = None) -> None:
        self._poller = poller or best_poller()
        self._watched: dict[int, tuple[Ready, int]] = {}
        self._forgotten: set[int] = set()
        """since the poller was asked last"""
        self._soon: dict[Callable[[], None], None] = {}
        """in the order in which they were asked for"""
        self._is_ending = False
        self.now = 0.0
        """When what is ready was found, in monotonic seconds."""

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
        self._forgotten.add(descriptor)
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
        monotonic, poll = time.monotonic, self._poller.poll
        last = now = monotonic()
        while not self._is_ending:
            due = last + pause_s()
            found = poll(due - now if due > now and not self._soon else 0.0)
            now = self.now = monotonic()
            self._call(found)
            if now >= due:
                last = now
                tick(instant())
        self._is_ending = False

    def _call(self, found: list[tuple[int, int]]) -> None:
        """Call back for what is ready, and then for what is to be done soon."""
        watched, forgotten = self._watched, self._forgotten
        forgotten.clear()
        for descriptor, events in found:
            if descriptor in forgotten:  # by a callback in front of this one; another socket may have its number
                continue
            ready, wanted = watched[descriptor]
            if events != wanted:
                # What is broken is ready for both: whoever reads or writes learns why.
                events = wanted if events > _BOTH else events & wanted
                if not events:  # a callback in front of this one has changed what it is watched for
                    continue
            ready(events)
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
        self.poll = self._epoll.poll

    def unregister(self, descriptor: int) -> None:
        self._epoll.unregister(descriptor)

    def close(self) -> None:
        self._epoll.close()

    def register(self, descriptor: int, events: int) -> None:
        self._epoll.register(descriptor, events)

    def modify(self, descriptor: int, events: int) -> None:
        self._epoll.modify(descriptor, events)


class Selector:
    """Any system's."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()

    def register(self, descriptor: int, events: int) -> None:
        self._selector.register(descriptor, _SELECTED[events])

    def unregister(self, descriptor: int) -> None:
        self._selector.unregister(descriptor)

    def modify(self, descriptor: int, events: int) -> None:
        self._selector.modify(descriptor, _SELECTED[events])

    def close(self) -> None:
        self._selector.close()

    def poll(self, seconds: float) -> list[tuple[int, int]]:
        return [(key.fd, _FOUND[events]) for key, events in self._selector.select(seconds)]


def instant() -> Instant:
    return Instant(time.monotonic(), time.time_ns() // 1_000_000)


_SELECTED = {
    READ: selectors.EVENT_READ,
    WRITE: selectors.EVENT_WRITE,
    _BOTH: selectors.EVENT_READ | selectors.EVENT_WRITE,
}
_FOUND = {theirs: ours for ours, theirs in _SELECTED.items()}


def _descriptor(file: HasFileno | int) -> int:
    return file if isinstance(file, int) else file.fileno()
