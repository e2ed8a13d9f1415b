"""The one task that watches: notices over a socket, looks without one, and the clocks. Virtual time."""

from __future__ import annotations

import errno
import os
import resource
import socket
import struct
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from myownmesh.engine.moves import Move
from myownmesh.netwatch import watch
from myownmesh.netwatch.netlink import GROUPS, Notices
from myownmesh.netwatch.sleep import Reading
from myownmesh.netwatch.snapshot import Snapshot
from myownmesh.netwatch.watch import TICK_S, NetWatch, open_netlink

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio.testing import MockClock

    from myownmesh.netwatch.pace import Change

HOME = Snapshot("192.168.1.5", None, frozenset({"192.168.1.5"}))
CAFE = Snapshot("10.0.0.9", None, frozenset({"10.0.0.9"}))
NEW_ADDRESS = struct.pack("=IHHIIBBBBI", 24, 20, 0, 0, 0, 2, 24, 0, 0, 3)


class HostLoop:
    """The timer of the loop that trio is a guest of; it rings when the test says so."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], None]] = []

    def call_later(self, delay: float, callback: Callable[[], None]) -> HostLoop:
        assert delay == TICK_S
        self.waiting.append(callback)
        return self

    def ring(self) -> None:
        self.waiting.pop()()

    def cancel(self) -> None:
        self.waiting.clear()


class Stage:
    """A machine with a network and clocks, and what was heard of it."""

    def __init__(self, nursery: trio.Nursery, *, notices: bool, host_loop: HostLoop | None = None) -> None:
        self.network = HOME
        self.slept_s = 0.0
        self.set_s = 0.0
        self.looks = 0
        self.glances = 0
        self.has_no_descriptors = False
        self.changes: list[Change] = []
        self.woken: list[float] = []
        self._theirs, ours = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        ours.setblocking(False)
        if not notices:
            ours.close()
        self.watch = NetWatch(
            self.changes.append,
            self.woken.append,
            host_loop=host_loop,
            look=self._look,
            clocks=self._clocks,
            netlink=lambda: ours if notices else None,
            fingerprint=self._glance,
        )
        nursery.start_soon(self.watch.run)

    def notice(self, datagram: bytes = NEW_ADDRESS) -> None:
        self._theirs.send(datagram)

    def close(self) -> None:
        self._theirs.close()

    def _look(self) -> Snapshot:
        self.looks += 1
        self._ask()
        return self.network

    def _glance(self) -> object:
        self.glances += 1
        self._ask()
        return self.network

    def _ask(self) -> None:
        if self.has_no_descriptors:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    def _clocks(self) -> Reading:
        now = trio.current_time()
        return Reading(now, now + self.slept_s, now + self.slept_s + self.set_s)


async def test_a_notice_brings_a_look_and_the_change_is_told(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    stage = Stage(nursery, notices=True)
    await trio.sleep(60.0)
    assert (stage.looks, stage.glances, stage.changes) == (1, 0, []), "nobody told of anything, so nobody looked"
    stage.network = CAFE
    stage.notice()
    await trio.sleep(0.2)
    assert [(change.move, change.before, change.after) for change in stage.changes] == [(Move.MOVED, HOME, CAFE)]
    stage.close()


async def test_without_notices_it_glances_every_two_seconds(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    stage = Stage(nursery, notices=False)
    await trio.sleep(60.5)
    assert (stage.looks, stage.glances) == (1, 31)
    stage.network = CAFE
    await trio.sleep(TICK_S + 0.2)
    assert [change.move for change in stage.changes] == [Move.MOVED]
    stage.close()


@pytest.mark.parametrize("notices", [True, False])
async def test_who_cannot_look_looks_again(notices: bool, nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    stage = Stage(nursery, notices=notices)
    await trio.sleep(10.5)
    stage.network, stage.has_no_descriptors = CAFE, True
    if notices:
        stage.notice()
    await trio.sleep(60.0)
    assert stage.changes == []
    stage.has_no_descriptors = False
    await trio.sleep(2 * TICK_S)
    assert [change.move for change in stage.changes] == [Move.MOVED]
    stage.close()


def test_who_gets_no_socket_is_not_offline_for_that() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    watch.look()  # with everything imported that it needs
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        with pytest.raises(OSError, match="Too many open files"):
            watch.look()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_a_flood_of_notices_costs_few_looks(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    stage = Stage(nursery, notices=True)
    for number in range(200):
        stage.network = (HOME, CAFE)[number % 2]
        stage.notice()
        await trio.sleep(0.05)
    assert stage.looks <= 15
    assert len(stage.changes) <= 5
    stage.network = CAFE
    stage.notice()
    await trio.sleep(6.0)
    assert stage.changes[-1].after == CAFE
    stage.close()


async def test_a_sleep_is_told_and_looked_at_and_a_clock_that_is_set_is_not(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    stage = Stage(nursery, notices=True)
    await trio.sleep(5.0)
    stage.set_s = 3600.0
    await trio.sleep(5.0)
    assert (stage.woken, stage.looks) == ([], 1)
    stage.slept_s, stage.network = 600.0, CAFE
    await trio.sleep(TICK_S + 0.2)
    assert stage.woken == [pytest.approx(600.0)]
    assert [change.move for change in stage.changes] == [Move.MOVED]
    stage.close()


async def test_under_a_host_loop_its_timer_ticks_and_trio_sleeps_on(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    loop = HostLoop()
    for notices in (True, False):
        stage = Stage(nursery, notices=notices, host_loop=loop)
        await trio.testing.wait_all_tasks_blocked()
        await trio.sleep(TICK_S)
        loop.ring()
        await trio.testing.wait_all_tasks_blocked()
        assert stage.looks == 1
        stage.slept_s, stage.network = 600.0, CAFE
        await trio.sleep(TICK_S)
        loop.ring()
        assert stage.woken == [pytest.approx(600.0)]
        await trio.sleep(1.0)
        assert [change.move for change in stage.changes] == [Move.MOVED]
        stage.close()
        loop.waiting.clear()


async def test_its_timer_ends_with_it(autojump_clock: MockClock) -> None:
    loop = HostLoop()
    async with trio.open_nursery() as nursery:
        stage = Stage(nursery, notices=True, host_loop=loop)
        await trio.testing.wait_all_tasks_blocked()
        assert len(loop.waiting) == 1
        nursery.cancel_scope.cancel()
    assert loop.waiting == []
    stage.close()


@pytest.mark.skipif(not hasattr(socket, "AF_NETLINK"), reason="no Linux: addresses are looked at")
def test_linux_gives_a_socket_that_hears_of_the_network() -> None:
    netlink = open_netlink()
    assert netlink is not None
    with netlink:
        assert netlink.getsockname()[1] == GROUPS
        with pytest.raises(BlockingIOError):
            netlink.recv(100)


@pytest.mark.parametrize("refused_at", ["socket", "bind", "family"])
def test_where_the_socket_is_refused_it_goes_on_without(monkeypatch: pytest.MonkeyPatch, refused_at: str) -> None:
    class Refusing:
        """A socket as some containers give it."""

        def __init__(self, *_: object) -> None:
            if refused_at == "socket":
                raise PermissionError("no")

        def bind(self, _: object) -> None:
            raise PermissionError("no")

        def close(self) -> None:
            closed.append(self)

    closed: list[object] = []
    if refused_at == "family":
        monkeypatch.delattr(socket, "AF_NETLINK", raising=False)
    monkeypatch.setattr(socket, "socket", Refusing)
    assert open_netlink() is None
    assert len(closed) == (refused_at == "bind")


def test_more_notices_than_the_socket_keeps_are_news() -> None:
    class Overrun:
        def recv(self, _: int) -> bytes:
            raise OSError(errno.ENOBUFS, "no buffer space")

    assert watch.drain(Overrun(), Notices())  # type: ignore[arg-type]  # all that is asked of a socket


def test_what_comes_faster_than_it_is_read_waits_for_the_next_time() -> None:
    class Endless:
        def recv(self, _: int) -> bytes:
            read.append(None)
            return NEW_ADDRESS

    read: list[None] = []
    assert watch.drain(Endless(), Notices())  # type: ignore[arg-type]  # all that is asked of a socket
    assert len(read) == 256


def test_this_machine_can_be_looked_at() -> None:
    assert isinstance(watch.look().is_offline, bool)
    assert watch.glance() == watch.glance()
    first, second = watch.read_clocks(), watch.read_clocks()
    assert second.awake >= first.awake
    assert second.boot - second.awake == pytest.approx(first.boot - first.awake, abs=1.0)
