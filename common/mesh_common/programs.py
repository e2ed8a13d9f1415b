"""Programs started in a group of their own, so that nothing they start outlives our interest in them."""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import subprocess
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import IO

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_running: set[subprocess.Popen[bytes]] = set()
_birth = threading.Lock()  # a child may be at work before we know of it: the end of the interpreter waits for that


@contextlib.contextmanager
def own_group(
    command: list[str],
    *,
    stdout: int | IO[bytes],
    stderr: int | IO[bytes],
    cwd: str | None = None,
    env: Mapping[str, str] | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """A program for the time of the block. Afterwards its whole group is dead, whatever way the block ended.

    That includes the end of this process while the block is at work in a daemon thread. Raises OSError when the
    system does not start the program.
    """
    process: subprocess.Popen[bytes] | None = None
    try:
        with signals_held(), _birth:
            process = subprocess.Popen(
                command,
                cwd=cwd,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
            )
            _running.add(process)
        yield process
    finally:
        if process is not None:
            end_group(process)
            _running.discard(process)


def signal_group(process: subprocess.Popen[bytes], how: signal.Signals) -> None:
    """Send a signal to everything that the program has started, itself included; harmless when all of it is gone."""
    with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS says the latter of a group of zombies
        os.killpg(process.pid, how)


def end_group(process: subprocess.Popen[bytes]) -> None:
    """Kill a program with its whole group, and close what it wrote to."""
    signal_group(process, signal.SIGKILL)
    process.wait()
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()


@contextlib.contextmanager
def signals_held() -> Iterator[None]:
    """A signal whose handler raises must not arrive between the birth of a child and our knowing of it.

    Nor while `Popen.poll` holds the lock that `Popen.wait` then waits for.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    handlers = {number: signal.getsignal(number) for number in _ENDING}
    try:
        with contextlib.ExitStack() as restored:  # all of them, also when one that is restored raises at once
            for number, handler in handlers.items():
                if callable(handler):
                    restored.callback(signal.signal, number, handler)
                    signal.signal(number, lambda number, _frame: came.append(number))
            yield
    finally:
        for seen in came:
            signal.raise_signal(seen)


@atexit.register
def _end_all() -> None:
    with _birth:
        for process in tuple(_running):
            end_group(process)
