"""Commands without their start: each is a process of its own, forked from one that has loaded the program.

Most of what a command costs is loading its modules, and hundreds of commands run in tests that ask what a command does,
not how it starts. `words(program)` stand in the place of the program's path: a small process that hands its streams,
arguments, environment and folder over, passes signals on, and ends as the command did.

`Forked` is a daemon or an app, without a small process: it takes the place of its `subprocess.Popen`.

Who tests a start (bare environments, streams that are closed, what is imported) starts the program itself.
"""

from __future__ import annotations

import atexit
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from functools import cache
from pathlib import Path
from typing import IO, TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_HERE = Path(__file__).parent
_PATIENCE_S = 60
_NUMBER_BYTES = 8
MACHINE = "MESH_TESTS_MACHINE"
"""Names the network namespace that a forked command is to run in; the command itself does not see it."""
_starting = threading.Lock()


def words(program: str) -> list[str]:
    """The beginning of a command line, in the place of `myownllm` or `mesh-bundler`."""
    return [sys.executable, "-I", "-S", str(_HERE / "warm_client.py"), _serving(program)]


class Forked:
    """A running program, with what its caller asks of a `Popen`. It is killed when this object is closed."""

    def __init__(
        self,
        environ: Mapping[str, str],
        output: IO[bytes] | int,
        ready: int | None = None,
        *,
        command: Sequence[str] = ("myownmesh", "serve"),
        errors: IO[bytes] | int | None = None,
    ) -> None:
        """`ready` is the descriptor on which a daemon says that it is ready; all descriptors stay open here."""
        program, *arguments = command
        self._command = list(command)
        self._server = socket.socket(socket.AF_UNIX)
        self._server.settimeout(_PATIENCE_S)
        self._server.connect(_serving(program))
        order = repr((arguments, dict(environ), str(Path.cwd()))).encode("ascii", "backslashreplace")
        more = [] if ready is None else [ready]
        with Path(os.devnull).open("rb") as nothing:
            streams = [nothing.fileno(), _descriptor(output), _descriptor(output if errors is None else errors), *more]
            socket.send_fds(self._server, [len(order).to_bytes(_NUMBER_BYTES, "big")], streams)
        self._server.sendall(order)
        self.pid = int.from_bytes(self._server.recv(_NUMBER_BYTES), "big")
        self._status: int | None = None

    def fileno(self) -> int:
        """Readable when the daemon has ended."""
        return self._server.fileno()

    @property
    def returncode(self) -> int | None:
        return self.poll()

    def poll(self) -> int | None:
        """Its exit status, negative for a signal; None while it runs."""
        return self._ended(0)

    def wait(self, timeout: float | None = None) -> int:
        """Until it has ended, for so many seconds. Raises `subprocess.TimeoutExpired`."""
        status = self._ended(timeout)
        if status is None:
            raise subprocess.TimeoutExpired(self._command, timeout or 0)
        return status

    def _ended(self, timeout: float | None) -> int | None:
        if self._status is None:
            self._server.settimeout(timeout)
            try:
                said = self._server.recv(_NUMBER_BYTES)
            except (BlockingIOError, TimeoutError):
                return None
            assert said, "the server of warm commands is gone"
            self._status = int.from_bytes(said, "big", signed=True)
            self._server.close()
        return self._status

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class TrioForked(Forked):
    """The same with what is asked of a `trio.Process`."""

    async def wait(self) -> int:  # type: ignore[override]  # trio's own also waits
        while (status := self.poll()) is None:
            await trio.lowlevel.wait_readable(self.fileno())
        return status


def _descriptor(stream: IO[bytes] | int) -> int:
    return stream if isinstance(stream, int) else stream.fileno()


def _serving(program: str) -> str:
    """The socket of the process that has the program loaded; it ends with this one. Any thread."""
    with _starting:
        return _started(program)


@cache
def _started(program: str) -> str:
    folder = tempfile.TemporaryDirectory(prefix="warm")
    path = f"{folder.name}/{program}.sock"
    command = [sys.executable, str(_HERE / "warm_server.py"), path, program]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def end() -> None:
        assert server.stdin is not None
        server.stdin.close()
        server.wait(_PATIENCE_S)
        folder.cleanup()

    atexit.register(end)
    assert server.stdout is not None
    assert server.stdout.readline() == b"ready\n", "the program could not be loaded"
    server.stdout.close()
    return path
