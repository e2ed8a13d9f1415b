"""A process of ours that faces strangers: started, listened to, and ended with whoever started it."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import msgspec
import trio

from myownmesh.services.service import CannotServe
from myownmesh.turn_worker.messages import MAX_LINE, line, read_said

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from myownmesh.turn_worker.messages import Change, Job, Said

START_LIMIT_S = 10.0
"""From its start to its first word; it takes a fifth of a second on a machine with nothing else to do."""
_KEPT = ("PATH", "LANG", "TMPDIR", "LD_LIBRARY_PATH", "PYTHON", "LC_")
"""Beginnings of the names of environment variables that it gets: nothing that says where keys are."""


class WorkerProcess:
    """The pipes of a worker that runs."""

    def __init__(self, process: trio.Process) -> None:
        self._process = process
        self._held = b""

    async def tell(self, message: Job | Change) -> None:
        """Raises `trio.BrokenResourceError` when it has ended."""
        assert self._process.stdin is not None
        await self._process.stdin.send_all(line(message))

    async def hear(self) -> Said:
        """The next thing it says. Raises `CannotServe` when it has ended, or says nothing that can be understood."""
        assert self._process.stdout is not None
        while b"\n" not in self._held:
            data = await self._process.stdout.receive_some()
            if not data:
                raise CannotServe(f"its process has ended ({_ending(await self._process.wait())})")
            self._held += data
            if len(self._held) > MAX_LINE:
                raise CannotServe("its process talks without end")
        text, _, self._held = self._held.partition(b"\n")
        try:
            return read_said(text)
        except msgspec.DecodeError as error:
            raise CannotServe(f"its process cannot be understood: {error}") from error


@asynccontextmanager
async def turn_worker(job: Job) -> AsyncIterator[WorkerProcess]:
    """A worker with its job, ended behind the block. Raises `CannotServe` when there is none to be had."""
    try:
        process = await trio.lowlevel.open_process(
            command("turn-worker"),
            executable=_executable(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment(os.environ),
            cwd="/",
            start_new_session=True,  # Ctrl-C is for the daemon, which ends its workers when its own farewell is said
        )
    except OSError as error:
        raise CannotServe(f"cannot start its process: {error.strerror or error}") from error
    worker = WorkerProcess(process)
    try:
        with suppress(trio.BrokenResourceError):  # it has ended, and `hear` says how
            await worker.tell(job)
        yield worker
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()  # at once: it was killed, and its ports are free when it is gone
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    await pipe.aclose()


def command(word: str) -> list[str]:
    """The command line of this very program with another word."""
    if getattr(sys, "frozen", False):
        return ["myownmesh", word]
    return [sys.executable, "-P", "-m", "myownmesh.cli", word]


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environ.items() if name.startswith(_KEPT)}


def _executable() -> str | None:
    """The packed daemon is its own interpreter, wherever it was unpacked to."""
    return "/proc/self/exe" if getattr(sys, "frozen", False) else None


def _ending(status: int) -> str:
    return f"signal {-status}" if status < 0 else f"status {status}"
