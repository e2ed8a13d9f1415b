"""One real daemon process, driven as a supervisor would."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mesh_common.client.blocking import Connection
from mesh_common.client.protocol import request_line

if TYPE_CHECKING:
    from types import TracebackType

PROGRAM = Path(sys.executable).with_name("myownmesh")
PATIENCE_S = 20.0  # everything here takes far less; a hang ends with a message
STOP_S = 2.0  # what supervisors grant between SIGTERM and SIGKILL


class DaemonProcess:
    """`myownmesh serve` in `home`, with a readiness pipe unless told otherwise."""

    def __init__(self, home: Path, *, environ: dict[str, str] | None = None, lifeline: bool = False) -> None:
        self.home = home
        ready, write_end = os.pipe()
        passed = [write_end]
        extra = {"MYOWNMESH_READY_FD": str(write_end)}
        self.lifeline: int | None = None
        if lifeline:
            read_end, self.lifeline = os.pipe()
            passed.append(read_end)
            extra["MYOWNMESH_LIFELINE_FD"] = str(read_end)
        self.process = subprocess.Popen(
            [PROGRAM, "serve"],
            env={**os.environ, "MYOWNMESH_HOME": str(home), **extra, **(environ or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=passed,
        )
        for descriptor in passed:
            os.close(descriptor)
        self._ready = ready
        self.errors = ""

    def __enter__(self) -> DaemonProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self._collect()
        os.close(self._ready)
        if self.lifeline is not None:
            os.close(self.lifeline)

    @property
    def socket_path(self) -> Path:
        return self.home / "daemon.sock"

    def ready(self) -> dict[str, Any]:
        """The line of the readiness descriptor."""
        os.set_blocking(self._ready, False)
        deadline = time.monotonic() + PATIENCE_S
        data = b""
        while not data.endswith(b"\n"):
            if time.monotonic() > deadline:
                raise AssertionError("the daemon did not get ready")
            try:
                chunk = os.read(self._ready, 65536)
            except BlockingIOError:
                time.sleep(0.005)
                continue
            if not chunk:
                raise AssertionError(f"the daemon ended without a word: {self.wait()} {self.errors}")
            data += chunk
        line: dict[str, Any] = json.loads(data)
        return line

    def ask(self, op: str, **members: Any) -> dict[str, Any]:
        """One request on a connection of its own; the whole answer."""
        with Connection(self.socket_path, PATIENCE_S) as connection:
            answer: dict[str, Any] = json.loads(connection.exchange(request_line(op, members)))
            return answer

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, float]:
        """Send a signal and wait; exit code and seconds."""
        started = time.monotonic()
        self.process.send_signal(number)
        code = self.wait()
        return code, time.monotonic() - started

    def wait(self) -> int:
        """Wait for the end; the exit code. `errors` holds stderr afterwards."""
        self._collect()
        return self.process.returncode

    def _collect(self) -> None:
        if self.process.stderr is None or self.process.stderr.closed:
            return
        out, err = self.process.communicate(timeout=PATIENCE_S)
        self.errors = err.decode()
        assert out == b"", "the daemon wrote to stdout, which belongs to data"
