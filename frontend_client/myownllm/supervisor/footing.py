"""What the app stands on: its home, held by a lock, and a daemon that is being found or started (spec 08 §2).

It needs a third of the app's modules and comes first, so that a daemon starts while the others are still loaded.
"""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import trio

from mesh_common.client.session import probe
from mesh_common.files import remove_leftovers
from mesh_common.groups import unwrapped
from mesh_common.locks import FileLock
from mesh_common.values import Value
from myownllm.errors import FAILURES, AlreadyRunningError, UnwritableHomeError
from myownllm.files import lock_holder_note, read_json, try_lock
from myownllm.home import find_pin
from myownllm.supervisor import migration
from myownllm.supervisor.log import DaemonLog, TroubleLimit
from myownllm.supervisor.supervisor import Supervisor
from myownllm.supervisor.world import make_ports

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from myownllm.coerce import Json
    from myownllm.effects import Level
    from myownllm.home import AppHome
    from myownllm.supervisor.ports import Ports

READ_ONLY_TEXT: Final = (
    "This app reads what is saved, changes nothing and starts no mesh daemon; start it again when that is mended"
)


class Notices:
    """Lines for the activity log, kept until there is one."""

    def __init__(self) -> None:
        self._kept: list[tuple[Level, str]] = []
        self._tell: Callable[[Level, str], None] = lambda level, text: self._kept.append((level, text))

    def __call__(self, level: Level, text: str) -> None:
        self._tell(level, text)

    def pass_on(self, tell: Callable[[Level, str], None]) -> None:
        """From now on `tell` has them; what was kept first."""
        kept, self._kept, self._tell = self._kept, [], tell
        for level, text in kept:
            tell(level, text)


class Footing(Value, frozen=True):
    """A home that no other app uses, and whoever keeps a daemon connected."""

    home: AppHome
    pin: str | None
    ports: Ports
    supervisor: Supervisor
    notices: Notices


@asynccontextmanager
async def footing(home: AppHome, *, report: Callable[[str], None]) -> AsyncIterator[Footing]:
    """Hold the home and keep a daemon connected for the time of the block; an own daemon ends with it.

    In a home where nothing can be written no daemon is started (spec 08 §12 row 52). Raises HomeError,
    AlreadyRunningError; what the block raises of the expected errors comes out as itself.
    """
    unwritable, notices = "", Notices()
    try:
        home.prepare()
        lock = await _app_lock(home)
    except UnwritableHomeError as error:
        lock, unwritable = None, str(error)
        if (holder := lock_holder_note(home.app_lock)) is not None:
            raise _already_running(holder) from None
    else:
        for folder in (home.root, home.own_daemon):
            remove_leftovers(folder, time.time())
        for text in await _older_layout(home):
            notices("warn", text)
    if unwritable:
        notices("error", f"{unwritable}. {READ_ONLY_TEXT}")
    pin = find_pin(Path(__file__).parent)
    trouble = TroubleLimit(trio.current_time, lambda level, text: notices(level, f"daemon: {text}"))
    no_start = f"no mesh daemon is started: {unwritable}" if unwritable else ""
    try:
        async with trio.open_nursery() as outer:  # keeps the tasks that watch the own daemon until it has ended
            ports = make_ports(home, pin, outer, DaemonLog(home.daemon_log, trouble), no_start=no_start)
            supervisor = Supervisor(ports, report=report)
            async with trio.open_nursery() as daemon_side:
                daemon_side.start_soon(supervisor.run)
                yield Footing(home, pin, ports, supervisor, notices)
                daemon_side.cancel_scope.cancel()
            outer.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        if (cause := unwrapped(group, FAILURES)) is group:
            raise
        raise cause from None
    finally:
        if lock is not None:
            lock.release()


async def _older_layout(home: AppHome) -> list[str]:
    """Take over the daemon's data of an older layout (spec 08 §3.8); returns what to say about it."""
    if not migration.is_due(home):
        return []
    if home.seed_era_socket.exists() and await probe(home.seed_era_socket) is not None:
        return [f"a daemon of an older layout runs at {home.seed_era_socket}: its data is moved when it has ended"]
    return await trio.to_thread.run_sync(migration.migrate, home)


async def _app_lock(home: AppHome) -> FileLock:
    lock = FileLock(home.app_lock)
    for _ in range(5):  # a command that looks whether we run holds it for an instant
        if try_lock(lock):
            return lock
        await trio.sleep(0.05)
    raise _already_running(read_json(home.app_lock))


def _already_running(holder: Json) -> AlreadyRunningError:
    pid = holder.get("pid") if isinstance(holder, dict) else None
    return AlreadyRunningError(pid if isinstance(pid, int) else None)
