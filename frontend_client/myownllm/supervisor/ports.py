"""What the supervisor needs from the world (spec 08 §3): places, programs and processes; tests put a script here."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Literal, Protocol

import msgspec

from mesh_common.values import Value

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from mesh_common.answers import StatusAnswer
    from myownllm.membership import DaemonMode
    from myownllm.supervisor.binaries import Candidate, Refused


class ChildProcess(Protocol):
    """A daemon that this app may end: one that it started, or one of an earlier launch that is proved to be ours."""

    @property
    def pid(self) -> int: ...
    @property
    def exit_status(self) -> int | None: ...
    def tail(self, lines: int = ..., /) -> list[str]: ...
    async def wait(self) -> int: ...
    async def stop(self, grace_s: float = ..., /) -> None: ...


class ReadyLine(msgspec.Struct, frozen=True):
    """What a daemon tells of its start, once (spec 07 §10.4)."""

    ready: bool | None = None
    """None: it said something else."""
    error: str = "no reason given"
    cannot_serve: bool = False
    """No other home or moment would help this program."""

    @property
    def has_failed(self) -> bool:
        return self.ready is False


class Started(ChildProcess, Protocol):
    """A daemon that this app started and that may yet say whether it is ready."""

    async def ready_line(self) -> ReadyLine: ...


class Survivor(ChildProcess, Protocol):
    """A daemon of an earlier launch of this app, proved to be that (FE-3.17)."""

    @property
    def is_frozen(self) -> bool:
        """Stopped by a signal: it will answer nobody until somebody lets it go on."""
        ...


class Row(Value, frozen=True):
    """One place where a daemon may already listen."""

    name: Literal["shared", "own", "seed-era"]
    mode: DaemonMode
    socket: Path
    only_if_exists: bool = False


class Ports(Value, frozen=True):
    """Everything that the supervisor needs from the world."""

    rows: Sequence[Row]
    own_socket: Path
    probe: Callable[[Path], Awaitable[StatusAnswer | None]]
    silence: Callable[[Path, float], Awaitable[str]]
    """what is wrong with a daemon that does not answer `status` within seconds; empty for one that does"""
    candidates: Callable[[], Sequence[Candidate]]
    version_of: Callable[[Candidate], Awaitable[str | Refused]]
    launch: Callable[[Candidate], Awaitable[Started]]
    spawn_lock: Callable[[], AbstractAsyncContextManager[None]]
    doubt: Callable[[Candidate], Awaitable[str | Refused | None]] | None = None
    """ask a candidate again whose version an earlier launch was told; None for one that was asked in this launch"""
    stage: Callable[[Callable[[str], None]], Awaitable[Candidate]] | None = None
    """get a daemon from the release feed (the bundler); raises AppError that says why not"""
    started: Callable[[Started], Awaitable[None]] | None = None
    """remember the child on disk (`owner.json`)"""
    serves: Callable[[ChildProcess, Candidate], Awaitable[None]] | None = None
    """remember that it serves: the child again, which may be another program by now, and its version"""
    survivor: Callable[[], Awaitable[Survivor | None]] | None = None
    """the child that was remembered last, if it lives and is ours without doubt"""
    worked_s: Callable[[int], float] | None = None
    """processor seconds that a process has used; 0 where that cannot be told"""
    no_start: str = ""
    """why this app may start no daemon; it attaches to one that is there"""
    pin: str | None = None
    """the daemon release that this app was built against"""
    uniform: Callable[[], float] = random.random
