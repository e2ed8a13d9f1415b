"""The supervisor's view of this machine: its places, programs, processes and locks (spec 08 §3.2-3.4)."""

from __future__ import annotations

import os
import platform
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import trio

import myownllm
from mesh_common.answers import StatusAnswer
from mesh_common.client.asking import read_answer
from mesh_common.client.errors import ControlError, ErrorKind
from mesh_common.client.session import command, probe
from mesh_common.locks import FileLock
from myownllm.errors import AppError
from myownllm.files import try_lock
from myownllm.supervisor import binaries
from myownllm.supervisor.inspection import Inspector
from myownllm.supervisor.ports import Ports, Row
from myownllm.supervisor.process import launch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from myownllm.home import AppHome
    from myownllm.supervisor.log import DaemonLog
    from myownllm.supervisor.owner import OwnerFile
    from myownllm.supervisor.ports import ChildProcess, Started, Survivor

SPAWN_LOCK_WAIT_S: Final = 30.0
"""Longer than one slow start of the other app, shorter than a person's patience."""
SPAWN_LOCK_POLL_S: Final = 0.1


def status_of(answer: object) -> StatusAnswer:
    """What answers `status` well is a daemon, even if we cannot read what it says of itself (FE-3.1)."""
    try:
        return read_answer(StatusAnswer, "status", answer)
    except ControlError:
        return StatusAnswer("", "")


def silence_text(socket: Path, error: ControlError) -> str:
    """What is wrong with a daemon that was connected and does not answer `status`."""
    if error.kind is ErrorKind.TIMEOUT:
        return "does not answer"
    if error.kind is ErrorKind.CONNECT_FAILED and not socket.exists():
        return f"cannot be reached, the file of its control socket {socket} is gone"
    return f"does not answer as it should ({error})"


def worked_s(pid: int) -> float:
    """Processor seconds of a process so far; where the kernel tells them, also those that it stood in line for."""
    import psutil  # type: ignore[import-untyped]  # it ships no types; needed only for a start that takes long

    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.Error:
        return 0.0
    return float(times.user + times.system) + _queued_s(pid)


def _queued_s(pid: int) -> float:
    """How long a process was ready and had no processor. Linux tells it; 0 elsewhere."""
    try:
        _ran_ns, queued_ns, _turns = Path(f"/proc/{pid}/schedstat").read_text("ascii").split()
        return int(queued_ns) / 1e9
    except (OSError, ValueError):
        return 0.0


def target_triple() -> str:
    """The target triple in the names of bundled daemons."""
    arch = {"arm64": "aarch64", "amd64": "x86_64"}.get(platform.machine().lower(), platform.machine().lower())
    system = "apple-darwin" if sys.platform == "darwin" else "unknown-linux-gnu"
    return f"{arch}-{system}"


def checkout() -> Path | None:
    """The source folder that this app runs from, if it does."""
    package = Path(myownllm.__file__).parent
    return next((p for p in package.parents if (p / ".myownmesh-rev").exists()), None)


def daemon_rows(home: AppHome) -> list[Row]:
    """Where to look for a running daemon, in order (spec 08 §3.2)."""
    rows = [
        Row("shared", "shared", home.shared_socket),
        Row("own", "own_llm", home.own_socket),
        Row("seed-era", "own_llm", home.seed_era_socket, only_if_exists=True),
    ]
    return rows[1:] if home.shared_socket == home.own_socket else rows


def make_ports(home: AppHome, pin: str | None, nursery: trio.Nursery, log: DaemonLog, *, no_start: str = "") -> Ports:
    """The supervisor's ports. The nursery keeps the tasks that watch a child; `no_start` is why there may be none."""
    inspector = Inspector(pin, home.probed_file)
    environ = dict(os.environ)

    def candidates() -> list[binaries.Candidate]:
        return binaries.collect(environ, Path(sys.executable).parent, checkout(), target_triple())

    async def start(candidate: binaries.Candidate) -> Started:
        return await launch(candidate.path, home.own_daemon, environ, log, nursery)

    async def remember(child: Started) -> None:
        await trio.to_thread.run_sync(owner().remember, child.pid)

    async def serves(child: ChildProcess, candidate: binaries.Candidate) -> None:
        def note() -> None:
            owner().remember(child.pid)
            inspector.keep(candidate)

        await trio.to_thread.run_sync(note)

    async def survivor() -> Survivor | None:
        return await trio.to_thread.run_sync(owner().survivor) if home.owner_file.exists() else None

    def owner() -> OwnerFile:
        from myownllm.supervisor.owner import OwnerFile  # psutil, which an app that only attaches never needs

        return OwnerFile(home.owner_file, home.own_daemon, home.own_socket)

    async def look(socket: Path) -> StatusAnswer | None:
        answer = await probe(socket)
        return None if answer is None else status_of(answer)

    async def silence(socket: Path, limit_s: float) -> str:
        try:
            await command(socket, "status", timeout=limit_s)
        except ControlError as error:
            return silence_text(socket, error)
        return ""

    async def get_release(report: Callable[[str], None]) -> binaries.Candidate:
        from myownllm.catalog.file import CatalogFile
        from myownllm.supervisor.staging import stage  # with the bundler, which an app that has a daemon never needs

        stored = await trio.to_thread.run_sync(CatalogFile(home.config_file, in_use=lambda: True).load)
        if stored.catalog.unknown.get("daemon_download") is False:
            raise AppError("downloads are switched off (`cloud_mesh.daemon_download`)")
        return binaries.Candidate(await stage(home.binaries, pin, report), "staged", "downloaded release")

    return Ports(
        rows=daemon_rows(home),
        own_socket=home.own_socket,
        probe=look,
        silence=silence,
        candidates=candidates,
        version_of=inspector.version_of,
        doubt=inspector.doubt,
        launch=start,
        spawn_lock=lambda: _spawn_lock(home),
        stage=get_release,
        worked_s=worked_s,
        started=remember,
        serves=serves,
        survivor=survivor,
        no_start=no_start,
        pin=pin,
    )


@asynccontextmanager
async def _spawn_lock(home: AppHome) -> AsyncIterator[None]:
    """Only one app at a time may start the own daemon. Raises AppError when another one takes for ever."""
    lock = FileLock(home.spawn_lock)
    with trio.move_on_after(SPAWN_LOCK_WAIT_S) as limit:
        while not try_lock(lock):  # noqa: ASYNC110 - a kernel lock cannot be awaited
            await trio.sleep(SPAWN_LOCK_POLL_S)
    if limit.cancelled_caught:
        raise AppError(f"another app has been starting the daemon in {home.own_daemon} for {SPAWN_LOCK_WAIT_S:.0f} s")
    try:
        yield
    finally:
        lock.release()
