"""Running `<binary> --version` without trusting the binary (spec 09 §3.2).

It gets an empty home, an environment built from nothing, its own process group, a time limit and a bounded ear; its
whole group is gone when `probe` returns.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from typing import IO, TYPE_CHECKING

from mesh_bundler.version_text import STDOUT_MAX_BYTES, Unreadable, read_version, spawn_failure

if TYPE_CHECKING:
    from pathlib import Path

    from mesh_bundler.version_text import Reading

PROBE_TIMEOUT = 10.0  # seconds; slow appliances need several for a cold start
_STDERR_MAX_BYTES = 16 * 1024
_TERM_GRACE = 0.5  # seconds between SIGTERM and SIGKILL
_PIPE_GRACE = 0.3  # seconds for output that is still in a pipe when the process has ended
_RETRY_DELAY = 0.05  # seconds between attempts on a file that is still busy
_CREATE_NO_WINDOW = 0x08000000


def probe(path: Path, *, program: str = "myownmesh", timeout: float = PROBE_TIMEOUT) -> Reading:
    """What the binary says it is. Never raises for anything the binary does; takes at most `timeout` + 1 s."""
    folder = tempfile.mkdtemp(prefix="mesh-probe-")
    try:
        return _run(path.resolve(), folder, program, timeout)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def isolated_environment(folder: str) -> dict[str, str]:
    """The environment of a probed binary: nothing of ours but the search path."""
    env = {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C", "LC_ALL": "C"}
    if sys.platform == "win32":
        names = ("SystemRoot", "WINDIR", "PATHEXT")
        env |= {name: os.environ[name] for name in names if name in os.environ}
        env |= {"TEMP": folder, "TMP": folder}
    env |= dict.fromkeys(("HOME", "USERPROFILE", "TMPDIR", "MYOWNMESH_HOME", "XDG_CACHE_HOME"), folder)
    return env | {"MYOWNMESH_AUTOUPDATE": "0", "MYOWNMESH_LOG": "off"}


def _run(path: Path, folder: str, program: str, timeout: float) -> Reading:
    started = _spawn(path, folder)
    if isinstance(started, Unreadable):
        return started
    process = started
    assert process.stdout is not None
    assert process.stderr is not None
    out = _Ear(process.stdout, STDOUT_MAX_BYTES + 1, lambda: _kill_group(process, signal.SIGTERM))
    err = _Ear(process.stderr, _STDERR_MAX_BYTES, None)
    exit_code: int | None
    try:
        exit_code = process.wait(timeout)
    except subprocess.TimeoutExpired:
        exit_code = None
        _kill_group(process, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_TERM_GRACE)
    out.listen(_PIPE_GRACE)
    # Also after a clean exit: whatever the binary left running in its group must not outlive the probe.
    _kill_group(process, _SIGKILL)
    process.wait()
    out.listen(_PIPE_GRACE)
    err.listen(_PIPE_GRACE)
    detail = err.heard.decode("utf-8", "replace")
    if len(out.heard) > STDOUT_MAX_BYTES:
        return Unreadable("output_too_large", detail)
    return read_version(out.heard, exit_code, program=program, detail=detail)


def _spawn(path: Path, folder: str) -> subprocess.Popen[bytes] | Unreadable:
    attempt = 0
    while True:
        try:
            return subprocess.Popen(
                [str(path), "--version"],
                cwd=folder,
                env=isolated_environment(folder),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=sys.platform != "win32",
                creationflags=_CREATE_NO_WINDOW if sys.platform == "win32" else 0,
            )
        except OSError as error:
            reason, retries = spawn_failure(sys.platform, errno=error.errno, winerror=getattr(error, "winerror", None))
            attempt += 1
            if attempt > retries:
                return Unreadable(reason, str(error))
            time.sleep(_RETRY_DELAY)


class _Ear:
    """Reads one pipe in a thread, keeps at most `limit` bytes and calls `full` once when there are more."""

    def __init__(self, pipe: IO[bytes], limit: int, full: object) -> None:
        self._pipe, self._limit, self._full = pipe, limit, full
        self._parts: list[bytes] = []
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    @property
    def heard(self) -> bytes:
        return b"".join(self._parts)[: self._limit]

    def listen(self, seconds: float) -> None:
        self._thread.join(seconds)

    def _read(self) -> None:
        kept = 0
        with self._pipe, contextlib.suppress(OSError, ValueError):
            while chunk := os.read(self._pipe.fileno(), 4096):
                if kept < self._limit:
                    self._parts.append(chunk)
                kept += len(chunk)
                if kept >= self._limit and callable(self._full):
                    self._full()
                    return


_SIGKILL = signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL


def _kill_group(process: subprocess.Popen[bytes], how: signal.Signals) -> None:
    if sys.platform == "win32":
        # The tree, not only the leader: a launcher may have started the program proper.
        subprocess.run(
            ["taskkill", "/F", "/T", "/PID", str(process.pid)],
            capture_output=True,
            check=False,
            timeout=_PIPE_GRACE * 10,
        )
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, how)
