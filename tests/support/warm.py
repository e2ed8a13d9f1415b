"""Commands without their start: each is a process of its own, forked from one that has loaded the program.

Most of what a command costs is loading its modules, and hundreds of commands run in tests that ask what a command does,
not how it starts. `words(program)` stand in the place of the program's path: a small process that hands its streams,
arguments, environment and folder over, passes signals on, and ends as the command did.

Who tests a start (bare environments, streams that are closed, what is imported) starts the program itself.
"""

from __future__ import annotations

import atexit
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

_HERE = Path(__file__).parent
_PATIENCE_S = 60


def words(program: str) -> list[str]:
    """The beginning of a command line, in the place of `myownllm` or `mesh-bundler`."""
    return [sys.executable, "-I", "-S", str(_HERE / "warm_client.py"), _serving(program)]


@cache
def _serving(program: str) -> str:
    """The socket of the process that has the program loaded; it ends with this one."""
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
