"""A daemon process that this app started: spawned, heard, watched and ended (spec 08 §3.4, §3.5, §3.7, 07 §10.4).

The child shares two pipes with the app. On the first it says once that it is ready; the second is a lifeline that only
the app holds open, so that a daemon never outlives an app that was killed. A daemon that knows neither is polled.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import warnings
from typing import TYPE_CHECKING, Final

import msgspec
import trio

from myownllm.coerce import tolerant
from myownllm.errors import AppError
from myownllm.supervisor.policy import TERMINATE_GRACE_S
from myownllm.supervisor.ports import ReadyLine

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from myownllm.supervisor.log import DaemonLog

READY_LINE_MAX_BYTES: Final = 16_384
_PR_SET_PDEATHSIG: Final = 1
_EXIT_POLL_S: Final = 0.1
"""Where the kernel offers no handle on a process."""


class LaunchError(AppError):
    """The program could not be executed at all."""


class Child:
    """A running daemon. Made by `launch`; whoever launched it ends it with `stop`."""

    def __init__(
        self, process: subprocess.Popen[bytes], ready: trio.lowlevel.FdStream, lifeline: int, log: DaemonLog
    ) -> None:
        self._process = process
        self._ready = ready
        self._lifeline: int | None = lifeline
        self._log = log
        self._exited = trio.Event()
        self._output_ended = trio.Event()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_status(self) -> int | None:
        """None while it runs; negative for the signal that ended it."""
        return self._process.poll()

    def tail(self, lines: int = 20) -> list[str]:
        """The last lines it printed."""
        return self._log.tail(lines)

    async def wait(self) -> int:
        """Its exit status, when it has ended."""
        await self._exited.wait()
        status = self._process.returncode
        return status if status is not None else 0

    async def ready_line(self) -> ReadyLine:
        """What it says on the readiness pipe. Waits for ever for a daemon that does not know the pipe."""
        line = b""
        while b"\n" not in line and len(line) < READY_LINE_MAX_BYTES:
            data = await self._ready.receive_some(4096)
            if not data:
                await trio.sleep_forever()
            line += data
        try:
            value = msgspec.json.decode(line.split(b"\n", 1)[0])
        except (msgspec.DecodeError, UnicodeDecodeError):
            value = None
        if not isinstance(value, dict):
            await trio.sleep_forever()
        return tolerant(ReadyLine, value)

    async def stop(self, grace_s: float = TERMINATE_GRACE_S, /) -> None:
        """End it: a polite signal, five seconds, a hard one. Always reaps; not interrupted by cancellation.

        One that was stopped is let go on, so that it can say farewell to its peers.
        """
        with trio.CancelScope(shield=True):
            if self.exit_status is None:
                self._process.terminate()
                self._process.send_signal(signal.SIGCONT)
                with trio.move_on_after(grace_s):
                    await self._exited.wait()
            if self.exit_status is None:
                self._process.kill()
            await self._exited.wait()
            if self._lifeline is not None:  # only now: an end of file would be a second request, which is an order
                os.close(self._lifeline)
                self._lifeline = None
            await self._ready.aclose()

    async def watch(self) -> None:
        """Notice its end; run as a task beside everything else."""
        await wait_exit(self.pid, lambda: self._process.poll() is not None)
        self._process.poll()
        # what it said last explains its end, so read that before anybody asks; a grandchild may hold the pipe open
        with trio.move_on_after(0.5):
            await self._output_ended.wait()
        self._exited.set()

    async def capture(self, stream: trio.lowlevel.FdStream) -> None:
        """Drain its output into the log until it ends."""
        try:
            async with stream:
                async for data in stream:
                    self._log.feed(bytes(data))
        except OSError:
            pass
        finally:
            self._log.flush()
            self._output_ended.set()


async def wait_exit(pid: int, is_over: Callable[[], bool]) -> None:
    """Return when the process has ended; `is_over` asks about exactly that one, whoever has its number later."""
    if hasattr(os, "pidfd_open"):
        try:
            descriptor = os.pidfd_open(pid)
        except OSError:
            descriptor = -1
        if descriptor >= 0:
            try:
                if not is_over():
                    await trio.lowlevel.wait_readable(descriptor)
            finally:
                os.close(descriptor)
            return
    while not is_over():  # noqa: ASYNC110 - this platform has nothing to wait on
        await trio.sleep(_EXIT_POLL_S)


def _die_with_parent() -> Callable[[], None] | None:
    """For daemons that do not know the lifeline: the kernel ends the child with us.

    Only from the main thread: the signal comes when the *thread* that created the child ends.
    """
    if not sys.platform.startswith("linux") or threading.current_thread() is not threading.main_thread():
        return None
    prctl = ctypes.CDLL(None).prctl
    parent = os.getpid()

    def before_exec() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGTERM)

    return before_exec


async def launch(binary: Path, home: Path, environ: Mapping[str, str], log: DaemonLog, nursery: trio.Nursery) -> Child:
    """Start `<binary> serve` in its home. Raises LaunchError. The nursery keeps the tasks that watch the child."""
    ready_read, ready_write = os.pipe()
    life_read, life_write = os.pipe()
    output_read, output_write = os.pipe()
    try:
        with warnings.catch_warnings():
            # Python ≥ 3.12 warns of a fork beside threads; the child runs three system calls before exec
            warnings.simplefilter("ignore", DeprecationWarning)
            process = subprocess.Popen(  # noqa: ASYNC220 - in this thread on purpose, see _die_with_parent; a few ms
                [str(binary), "serve"],
                stdin=subprocess.DEVNULL,
                stdout=output_write,
                stderr=output_write,
                cwd=home,
                env={
                    **environ,
                    "MYOWNMESH_HOME": str(home),
                    "MYOWNMESH_READY_FD": str(ready_write),
                    "MYOWNMESH_LIFELINE_FD": str(life_read),
                },
                pass_fds=(ready_write, life_read),
                start_new_session=True,
                preexec_fn=_die_with_parent(),
            )
    except OSError as error:
        for descriptor in (ready_read, life_write, output_read):
            os.close(descriptor)
        raise LaunchError(f"cannot start {binary}: {error.strerror}") from None
    finally:
        for descriptor in (ready_write, life_read, output_write):
            os.close(descriptor)
    child = Child(process, trio.lowlevel.FdStream(ready_read), life_write, log)
    nursery.start_soon(child.watch)
    nursery.start_soon(child.capture, trio.lowlevel.FdStream(output_read))
    return child
