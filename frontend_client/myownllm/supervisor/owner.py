"""Which daemon this app started last, so that a later launch can take it back or end it (spec 08 FE-3.17).

A number is not an identity: a process counts as ours only while its start time, its program, its user and the home that
it was given are those that were recorded. Where the kernel counts a start from that of the system, the count is kept: a
date moves whenever somebody sets the clock.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
import psutil  # type: ignore[import-untyped]  # it ships no types
import trio

from mesh_common.readable import readable, readable_values
from myownllm.files import read_json, write_durably
from myownllm.supervisor.policy import TERMINATE_GRACE_S
from myownllm.supervisor.process import wait_exit

if TYPE_CHECKING:
    from collections.abc import Callable

START_TOLERANCE_S: Final = 2.0
"""The kernel tells it relative to the start of the system, whose date clocks correct."""
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


class _Record(msgspec.Struct, frozen=True):
    """What is known of the child, in the terms of the kernel."""

    pid: int
    start_time: float
    """seconds since the epoch"""
    executable: str
    home: str
    socket: str = ""
    """for people who read the file"""
    started: str = ""
    """when it started as `_started` has it, whatever clocks say; empty where that cannot be told"""


class OwnerFile:
    """`owner.json` in the own daemon's home. Blocking and small; never raises, for the record only helps."""

    def __init__(self, path: Path, home: Path, socket: Path) -> None:
        self._path = path
        self._home = readable(str(home))
        self._socket = socket

    def remember(self, pid: int) -> None:
        """This process is the child now."""
        try:
            process = psutil.Process(pid)
            record = _Record(pid, process.create_time(), process.exe(), self._home, str(self._socket), _started(pid))
            write_durably(self._path, msgspec.json.encode(readable_values(msgspec.structs.asdict(record))))
        except (psutil.Error, OSError):
            return

    def survivor(self) -> TakenBack | None:
        """The recorded child, if it lives and every mark of it is right."""
        try:
            record = msgspec.convert(read_json(self._path), _Record)
        except msgspec.ValidationError:
            return None
        try:
            process = psutil.Process(record.pid)
            with process.oneshot():
                is_ours = (
                    _is_start_of(process, record)
                    and readable(process.exe()) == record.executable
                    and process.uids().real == os.getuid()
                    and readable(process.environ().get("MYOWNMESH_HOME", "")) == record.home
                    and os.path.realpath(record.home) == os.path.realpath(self._home)  # by whatever name we came here
                    and process.status() != psutil.STATUS_ZOMBIE
                )
        except (psutil.Error, OSError, ValueError):  # the last of a number that no process has
            return None
        return TakenBack(process) if is_ours else None


def _is_start_of(process: psutil.Process, record: _Record) -> bool:
    """Whether this process began when the recorded one did."""
    if record.started and (started := _started(process.pid)):
        return started == record.started
    return bool(abs(process.create_time() - record.start_time) <= START_TOLERANCE_S)


def _started(pid: int) -> str:
    """The start of the system and the ticks from there to that of the process; empty but on Linux."""
    try:
        ticks = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[19].decode()
        return f"{_BOOT_ID.read_text().strip()} {ticks}"
    except (OSError, IndexError, ValueError):
        return ""


class TakenBack:
    """A daemon of an earlier launch. It is nobody's child any more, so how it ended cannot be known."""

    def __init__(self, process: psutil.Process) -> None:
        self._process = process
        self.pid: int = process.pid

    @property
    def is_frozen(self) -> bool:
        """Stopped by a signal."""
        try:
            return bool(self._process.status() == psutil.STATUS_STOPPED)
        except psutil.Error:
            return False

    @property
    def exit_status(self) -> int | None:
        """None while it runs; 0 afterwards, as if it had been asked to."""
        return None if self._is_running() else 0

    def tail(self, lines: int = 20) -> list[str]:
        """What it prints goes nowhere."""
        return []

    async def wait(self) -> int:
        """Return when it has ended."""
        await wait_exit(self.pid, lambda: not self._is_running())
        return 0

    async def stop(self, grace_s: float = TERMINATE_GRACE_S, /) -> None:
        """End it as a child is ended; one that is stopped is let go on, so that it can say farewell to its peers."""
        with trio.CancelScope(shield=True):
            self._signal(self._process.terminate)
            self._signal(self._process.resume)
            with trio.move_on_after(grace_s):
                await self.wait()
            if self._is_running():
                self._signal(self._process.kill)
                await self.wait()

    def _is_running(self) -> bool:
        try:
            return bool(self._process.is_running() and self._process.status() != psutil.STATUS_ZOMBIE)
        except psutil.Error:
            return False

    @staticmethod
    def _signal(send: Callable[[], None]) -> None:
        with contextlib.suppress(psutil.Error):  # it has ended, and its number is never somebody else's: psutil looks
            send()
