"""A process of ours that faces strangers: started, listened to, and ended with whoever started it."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Generic, TypeVar

import msgspec
import trio

from myownmesh.services.service import CannotServe
from myownmesh.worker.messages import MAX_LINE, Listening, Refused, line

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

START_LIMIT_S = 10.0
"""From its start to its first word; it takes a fifth of a second on a machine with nothing else to do."""
END_LIMIT_S = 2.0
"""For its farewell to its clients; it takes half a second at most."""
_KEPT = ("PATH", "LANG", "TMPDIR", "LD_LIBRARY_PATH", "PYTHON", "LC_")
"""Beginnings of the names of environment variables that it gets: nothing that says where keys are."""

Report = TypeVar("Report")


class WorkerProcess(Generic[Report]):
    """The pipes of a worker that runs."""

    def __init__(self, process: trio.Process, read: Callable[[bytes], Listening | Refused | Report]) -> None:
        self._process = process
        self._read = read
        self._held = b""

    async def tell(self, message: msgspec.Struct) -> None:
        """Raises `trio.BrokenResourceError` when it has ended."""
        assert self._process.stdin is not None
        await self._process.stdin.send_all(line(message))

    async def listens(self) -> Listening:
        """Its first word. Raises `CannotServe` for any other one, and when there is none in time."""
        with trio.move_on_after(START_LIMIT_S) as limit:
            first = await self._hear()
        if limit.cancelled_caught:
            raise CannotServe(f"its process has said nothing in {START_LIMIT_S:g} s")
        if isinstance(first, Refused):
            raise CannotServe(first.reason)
        if not isinstance(first, Listening):
            raise CannotServe("its process reports before it listens")
        return first

    async def listen(self, take: Callable[[Report], None]) -> CannotServe:
        """Take what it reports until it ends; returns why."""
        try:
            while True:  # no deadline: this is the service's life
                said = await self._hear()
                if not isinstance(said, Listening | Refused):
                    take(said)
        except CannotServe as error:
            return error

    async def _hear(self) -> Listening | Refused | Report:
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
            return self._read(text)
        except msgspec.DecodeError as error:
            raise CannotServe(f"its process cannot be understood: {error}") from error


@asynccontextmanager
async def worker(
    word: str,
    job: msgspec.Struct,
    read: Callable[[bytes], Listening | Refused | Report],
    descriptors: Sequence[int] = (),
) -> AsyncIterator[WorkerProcess[Report]]:
    """A worker with its job, ended behind the block. Raises `CannotServe` when there is none to be had.

    `word` is its command, `read` understands what it says, and it has these `descriptors`, too.
    """
    try:
        process = await trio.lowlevel.open_process(
            command(word),
            executable=_executable(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment(os.environ),
            cwd="/",
            pass_fds=descriptors,
            start_new_session=True,  # Ctrl-C is for the daemon, which ends its workers when its own farewell is said
        )
    except OSError as error:
        raise CannotServe(f"cannot start its process: {error.strerror or error}") from error
    made = WorkerProcess(process, read)
    try:
        with suppress(trio.BrokenResourceError):  # it has ended, and `listens` says how
            await made.tell(job)
        yield made
    finally:
        with trio.CancelScope(shield=True):
            await _end(process)


async def _end(process: trio.Process) -> None:
    """It says farewell to its clients once its stdin is closed. Its ports are free when it is gone."""
    assert process.stdin is not None
    assert process.stdout is not None
    await process.stdin.aclose()
    with trio.move_on_after(END_LIMIT_S):
        await process.wait()
    process.kill()
    await process.wait()  # at once: it was killed
    await process.stdout.aclose()


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
