"""Running `<binary> --version` without trusting the binary (spec 09 §3.2).

It gets an empty home, an environment built from nothing, its own process group, a time limit and a bounded ear; its
whole group is gone when `probe` returns or raises.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from mesh_common.programs import own_group, signal_group, signals_held
from mesh_common.shebang import has_windows_shebang
from mesh_common.versions import PROGRAM, STDOUT_MAX_BYTES, Unreadable, read_version, spawn_failure

if TYPE_CHECKING:
    from collections.abc import Callable

    from mesh_common.versions import Reading

PROBE_TIMEOUT = 10.0
"""Seconds; slow appliances need several for a cold start."""
_STDERR_MAX_BYTES = 16 * 1024
_TERM_GRACE = 0.5
"""Seconds between SIGTERM and SIGKILL."""
_PIPE_GRACE = 0.3
"""Seconds for the answer of a helper that outlives the program, such as a launcher's child."""
_RETRY_DELAY = 0.05
"""Seconds between attempts on a file that is still busy."""
_ROUNDS = 5
"""Looks at all processes: one that is found may have started another meanwhile."""
_POLL, _POLL_MOST = 0.001, 0.02  # seconds between looks at a program, doubled: its end alone wakes nobody
_WINDOWS_SHEBANG = Unreadable(
    "crlf_shebang", "its first line ends as on Windows, so the interpreter or its option has no such name"
)


def probe(
    path: Path,
    *,
    program: str = PROGRAM,
    timeout: float = PROBE_TIMEOUT,
    checkpoint: Callable[[], None] = lambda: None,
) -> Reading:
    """What the binary says it is. Never raises for anything the binary does; takes at most `timeout` + 1 s.

    `checkpoint` is called several times a second; what it raises ends the probe. An answer counts as soon as the
    program itself has ended, also while a helper that it started keeps the pipe open.
    """
    try:
        folder = tempfile.TemporaryDirectory(prefix="mesh-probe-", ignore_cleanup_errors=True)
    except OSError as error:
        return Unreadable("no_temporary_folder", str(error))
    with folder as empty:
        try:
            return _run(os.path.realpath(path), empty, program, timeout, checkpoint)
        finally:
            _end_strays(empty)


def isolated_environment(folder: str) -> dict[str, str]:
    """The environment of a probed binary: nothing of ours but the search path."""
    env = {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C", "LC_ALL": "C"}
    env |= dict.fromkeys(("HOME", "TMPDIR", "MYOWNMESH_HOME", "XDG_CACHE_HOME"), folder)
    return env | {"MYOWNMESH_AUTOUPDATE": "0", "MYOWNMESH_LOG": "off"}


def _run(path: str, folder: str, program: str, timeout: float, checkpoint: Callable[[], None]) -> Reading:
    attempt = 0
    while True:
        try:
            with own_group(
                [path, "--version"],
                cwd=folder,
                env=isolated_environment(folder),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            ) as process:
                reading = _answer(process, program, timeout, checkpoint)
            # Where something else stands behind the interpreter's name, that fails: `env`, or an option.
            failed = isinstance(reading, Unreadable) and reading.reason == "exit_status"
            return _WINDOWS_SHEBANG if failed and has_windows_shebang(Path(path)) else reading
        except OSError as error:
            if has_windows_shebang(Path(path)):
                return _WINDOWS_SHEBANG
            reason, retries = spawn_failure(sys.platform, errno=error.errno)
            attempt += 1
            if attempt > retries:
                return Unreadable(reason, str(error))
            time.sleep(_RETRY_DELAY)


def _end_strays(folder: str) -> None:
    """Kill what has left the program's group for a session of its own: where the system shows it, its home tells.

    Or the folder that it is in: some start with an environment of their own.
    """
    mark, place = os.fsencode(f"HOME={folder}"), Path(folder).resolve()
    for _ in range(_ROUNDS):
        found = False
        with contextlib.suppress(OSError), os.scandir("/proc") as processes:
            for entry in processes:
                with contextlib.suppress(OSError):  # ended, or somebody else's
                    if entry.name.isdigit() and (
                        Path(entry.path, "cwd").readlink() == place
                        or mark in Path(entry.path, "environ").read_bytes().split(b"\0")
                    ):
                        os.kill(int(entry.name), signal.SIGKILL)
                        found = True
        if not found:
            return


def _answer(process: subprocess.Popen[bytes], program: str, timeout: float, checkpoint: Callable[[], None]) -> Reading:
    assert process.stdout is not None
    assert process.stderr is not None
    out, err = _Ear(process.stdout.fileno(), STDOUT_MAX_BYTES + 1), _Ear(process.stderr.fileno(), _STDERR_MAX_BYTES)
    deadline, ended, pause = time.monotonic() + timeout, None, _POLL
    with selectors.DefaultSelector() as selector:
        for ear in (out, err):
            os.set_blocking(ear.pipe, False)
            selector.register(ear.pipe, selectors.EVENT_READ, ear)
        while True:
            with signals_held():
                exit_code = process.poll()  # first: what it wrote before its end is in the pipe then
            for key, _ in selector.select(pause):
                if not key.data.listen():
                    selector.unregister(key.fd)
            pause = min(pause * 2, _POLL_MOST)
            now = time.monotonic()
            if exit_code is not None:
                ended = ended or now
                if out.closed or b"\n" in out.heard or now - ended > _PIPE_GRACE:
                    break
            elif len(out.heard) > STDOUT_MAX_BYTES or now > deadline:
                _ask_to_end(process)
                break
            checkpoint()
    detail = err.heard.decode("utf-8", "replace")
    if len(out.heard) > STDOUT_MAX_BYTES:
        return Unreadable("output_too_large", detail)
    return read_version(bytes(out.heard), exit_code, program=program, detail=detail)


def _ask_to_end(process: subprocess.Popen[bytes]) -> None:
    signal_group(process, signal.SIGTERM)
    try:
        process.wait(_TERM_GRACE)
    except subprocess.TimeoutExpired:
        return


class _Ear:
    """What came through a pipe, the first `limit` bytes of it."""

    def __init__(self, pipe: int, limit: int) -> None:
        self.pipe = pipe
        self.heard = bytearray()
        self.closed = False
        self._limit = limit

    def listen(self) -> bool:
        """Take what is there; False at the end of the pipe."""
        data = os.read(self.pipe, 65536)
        self.heard += data[: self._limit - len(self.heard)]
        self.closed = not data
        return bool(data)
