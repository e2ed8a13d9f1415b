"""The watch itself: one task that hears the system's notices, looks, and compares the clocks every two seconds.

Linux tells of changes over a netlink socket, which costs nothing while nothing happens. Where there is none (macOS), or
where it is refused, addresses and routes are asked every two seconds.
"""

from __future__ import annotations

import logging
import socket
import time
from typing import TYPE_CHECKING, Final

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
    """As it is now. A millisecond or two; asks the system and sends nothing."""
    ways_out = [way for far in FAR_AWAY if (way := source_address(far)) is not None]
    return snapshot(local_addresses(), ways_out)


def read_clocks() -> Reading:
    """This moment."""
    return Reading(time.monotonic(), time.clock_gettime(_BOOT_CLOCK), time.time())


def open_netlink() -> socket.socket | None:
    """A socket on which Linux tells of changes; None on other systems, or where it is refused."""
    family = getattr(socket, "AF_NETLINK", None)
    if family is None:
        return None
    try:
        netlink = socket.socket(family, socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, 0)
    except OSError as error:
        log.info("no notices about changes of the network, so they are looked for: %s", error)
        return None
    try:
        netlink.bind((0, GROUPS))
    except OSError as error:
        netlink.close()
        log.info("no notices about changes of the network, so they are looked for: %s", error)
        return None
    return netlink


class NetWatch:
    """`run` it once per process. Both callbacks come from its task and must not block."""

    def __init__(
        self,
        on_change: Callable[[Change], None],
        on_woken: Callable[[float], None],
        *,
        look: Callable[[], Snapshot] = look,
        clocks: Callable[[], Reading] = read_clocks,
        netlink: Callable[[], socket.socket | None] = open_netlink,
        fingerprint: Callable[[], object] | None = None,
    ) -> None:
        """`on_woken` gets the seconds that the machine slept, or this process stood still."""
        self._on_change = on_change
        self._on_woken = on_woken
        self._look = look
        self._clocks = clocks
        self._open_netlink = netlink
        self._fingerprint = fingerprint or _fingerprint

    async def run(self) -> None:
        """Watch until cancelled."""
        netlink = self._open_netlink()
        try:
            await self._watch(netlink)
        finally:
            if netlink is not None:
                netlink.close()

    async def _watch(self, netlink: socket.socket | None) -> None:
        notices = Notices()
        reading = self._clocks()
        sleep, pace = SleepWatch(reading), Pace(reading.awake)
        tick_at = reading.awake + TICK_S
        fingerprint = None if netlink is not None else self._fingerprint()
        while True:
            if pace.due is not None and pace.due <= reading.awake:
                self._pass_on(pace.looked(self._look(), reading.awake))
            if reading.awake >= tick_at:
                if self._slept(sleep, reading, tick_at):
                    pace.noticed(reading.awake)
                if netlink is None and (fresh := self._fingerprint()) != fingerprint:
                    fingerprint = fresh
                    pace.noticed(reading.awake)
                tick_at = reading.awake + TICK_S
            await _wait(netlink if pace.due is None else None, min(tick_at, pace.due or tick_at) - reading.awake)
            reading = self._clocks()
            if netlink is not None and _drain(netlink, notices):
                pace.noticed(reading.awake)

    def _pass_on(self, change: Change | None) -> None:
        if change is not None:
            log.info("%s: %s, before %s", change.move.value, change.after.told(), change.before.told())
            self._on_change(change)

    def _slept(self, sleep: SleepWatch, reading: Reading, due: float) -> bool:
        seen = sleep.tick(reading, due)
        if seen is None:
            return False
        log.info("%s, %.1f s", seen.oddity.value, seen.seconds)
        if seen.oddity is Oddity.CLOCK_SET:
            return False
        self._on_woken(seen.seconds)
        return True


async def _wait(netlink: socket.socket | None, seconds: float) -> None:
    """For a notice, at most so long; without a socket, or while notices gather for the next look, just so long."""
    if netlink is None:
        await trio.sleep(max(0.0, seconds))
    else:
        with trio.move_on_after(max(0.0, seconds)):
            await trio.lowlevel.wait_readable(netlink)


def _drain(netlink: socket.socket, notices: Notices) -> bool:
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


def _fingerprint() -> object:
    """What tells cheaply that a look is worth it."""
    return machine_addresses(), *map(source_address, FAR_AWAY)
