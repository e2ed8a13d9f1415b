"""The watch itself: one task that hears the system's notices, looks, and compares the clocks every two seconds.

Linux tells of changes over a netlink socket, which costs nothing while nothing happens. Where there is none (macOS), or
where it is refused, addresses and routes are asked every two seconds.
"""

from __future__ import annotations

import logging
import socket
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final, Protocol

import trio

from myownmesh.netwatch.netlink import GROUPS, Notices
from myownmesh.netwatch.pace import Pace
from myownmesh.netwatch.sleep import Oddity, Reading, SleepWatch
from myownmesh.netwatch.snapshot import snapshot
from myownmesh.transport.interfaces import FAR_AWAY, local_addresses, machine_addresses, source_address

if TYPE_CHECKING:
    from collections.abc import Callable

    from myownmesh.netwatch.pace import Change
    from myownmesh.netwatch.snapshot import Snapshot

log = logging.getLogger(__name__)

TICK_S: Final = 2.0
"""Between looks at the clocks, and at the addresses where nobody tells of them: the tick of the reference."""
_DATAGRAM_BYTES: Final = 65_536
_MAX_DATAGRAMS: Final = 256
"""Read at a time; the rest is read after the look."""
_BOOT_CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""Linux stops its monotonic clock while the machine sleeps; on macOS it is Python's own that stands still."""


def look() -> Snapshot:
    """As it is now. A millisecond or two; asks the system and sends nothing.

    Raises OSError where nothing can be asked: too many open files, for one.
    """
    ways_out = [way for far in FAR_AWAY if (way := source_address(far)) is not None]
    if not ways_out:
        socket.socket(socket.AF_UNIX).close()  # who gets no socket at all is not offline for that
    return snapshot(local_addresses(), ways_out)


def glance() -> object:
    """What tells cheaply that a look is worth it."""
    return machine_addresses(), *map(source_address, FAR_AWAY)


def read_clocks() -> Reading:
    """This moment."""
    return Reading(time.monotonic(), time.clock_gettime(_BOOT_CLOCK), time.time())


def open_netlink() -> socket.socket | None:
    """A socket on which Linux tells of changes; None on other systems, or where it is refused."""
    family = getattr(socket, "AF_NETLINK", None)
    if family is None:
        return None
    kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
    try:
        with ExitStack() as opened:
            netlink = socket.socket(family, kind)
            opened.callback(netlink.close)
            netlink.bind((0, GROUPS))
            opened.pop_all()
    except OSError as error:
        log.info("no notices about changes of the network, so they are looked for: %s", error)
        return None
    return netlink


class Later(Protocol):
    """An asyncio loop's timer: where trio is its guest, a wake-up of its own costs a tenth of one of trio's."""

    def call_later(self, delay: float, callback: Callable[[], None]) -> Handle: ...


class Handle(Protocol):
    def cancel(self) -> None: ...


class NetWatch:
    """`run` it once per process. Both callbacks come on its thread and must not block."""

    def __init__(
        self,
        on_change: Callable[[Change], None],
        on_woken: Callable[[float], None],
        *,
        host_loop: Later | None = None,
        look: Callable[[], Snapshot] = look,
        clocks: Callable[[], Reading] = read_clocks,
        netlink: Callable[[], socket.socket | None] = open_netlink,
        fingerprint: Callable[[], object] = glance,
    ) -> None:
        """`on_woken` gets the seconds that the machine slept, or this process stood still.

        `host_loop`: the loop that trio is a guest of, if it is one.
        """
        self._on_change = on_change
        self._on_woken = on_woken
        self._host_loop = host_loop
        self._look = look
        self._clocks = clocks
        self._open_netlink = netlink
        self._fingerprint = fingerprint
        self._known: object = None
        """The fingerprint of the last tick; None where the system tells of changes."""
        reading = clocks()
        self._sleep, self._pace = SleepWatch(reading), Pace(reading.awake)
        self._tick_due = reading.awake + TICK_S
        self._handle: Handle | None = None
        self._alarm = trio.CancelScope()

    async def run(self) -> None:
        """Watch until cancelled."""
        netlink = self._open_netlink()
        try:
            if netlink is None:
                self._known = self._glance()
            async with trio.open_nursery() as nursery:
                self._expect_tick()
                if self._host_loop is None:
                    nursery.start_soon(self._tick_by_trio)
                await self._watch(netlink)
        finally:
            if self._handle is not None:
                self._handle.cancel()
            if netlink is not None:
                netlink.close()

    async def _watch(self, netlink: socket.socket | None) -> None:
        notices, pace = Notices(), self._pace
        while True:
            now = self._clocks().awake
            if pace.due is not None and pace.due <= now:
                try:
                    seen = self._look()
                except OSError as error:
                    log.info("the network cannot be looked at just now: %s", error)
                    await trio.sleep(TICK_S)
                    continue
                self._pass_on(pace.looked(seen, now))
            await self._wait(netlink, now)
            if netlink is not None and drain(netlink, notices):
                pace.noticed(self._clocks().awake)

    async def _wait(self, netlink: socket.socket | None, now: float) -> None:
        """For a notice or an alarm; while notices gather, just until the look is due."""
        if self._pace.due is not None:
            await trio.sleep(max(0.0, self._pace.due - now))
            return
        with trio.CancelScope() as self._alarm:
            if netlink is None:
                await trio.sleep_forever()
            else:
                await trio.lowlevel.wait_readable(netlink)

    def _pass_on(self, change: Change | None) -> None:
        if change is not None:
            log.info("%s: %s, before %s", change.move.value, change.after.told(), change.before.told())
            self._on_change(change)

    # ── the clocks ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _expect_tick(self) -> None:
        self._tick_due = self._clocks().awake + TICK_S
        if self._host_loop is not None:
            self._handle = self._host_loop.call_later(TICK_S, self._tick)

    async def _tick_by_trio(self) -> None:
        while True:
            await trio.sleep(TICK_S)
            self._tick()

    def _tick(self) -> None:
        reading, due = self._clocks(), self._tick_due
        self._expect_tick()
        seen = self._sleep.tick(reading, due)
        if seen is not None:
            log.info("%s, %.1f s", seen.oddity.value, seen.seconds)
        has_slept = seen is not None and seen.oddity is not Oddity.CLOCK_SET
        if has_slept or self._looks_different():
            self._pace.noticed(reading.awake)
            self._alarm.cancel()
        if seen is not None and has_slept:
            self._on_woken(seen.seconds)

    def _looks_different(self) -> bool:
        if self._known is None:
            return False
        before, self._known = self._known, self._glance()
        return before != self._known

    def _glance(self) -> object:
        try:
            return self._fingerprint()
        except OSError as error:
            log.debug("no glance at the network: %s", error)
            return self._known or ()


def drain(netlink: socket.socket, notices: Notices) -> bool:
    """Read what has come; is any of it news?"""
    news = False
    for _ in range(_MAX_DATAGRAMS):
        try:
            datagram = netlink.recv(_DATAGRAM_BYTES)
        except BlockingIOError:
            break
        except OSError:
            return True  # more came than the socket could keep: look
        news = notices.are_news(datagram) or news
    return news
