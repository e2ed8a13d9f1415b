"""Every step of a swap, and a process that is killed right in front of it: run as a program, it forks once per step.

`steps(work)` counts what of `work` touches the file system, by Python's own audit events; `killed_before(n, work)` runs
it in a child that dies by SIGKILL in front of the n-th.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_TOUCHING = frozenset(
    {"open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.symlink", "os.link", "os.chmod", "shutil.rmtree"}
)

_left: int | None = None
_seen = 0


def _hook(event: str, arguments: tuple[object, ...]) -> None:
    global _left, _seen
    if _left is None or event not in _TOUCHING:
        return
    if event == "open" and not _writes(arguments):
        return
    _seen += 1
    if _left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    _left -= 1


def _writes(arguments: tuple[object, ...]) -> bool:
    flags = arguments[2]
    return isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))


sys.addaudithook(_hook)


def killed_before(step: int, work: Callable[[], object]) -> bool:
    """Do `work` in a child that is killed in front of its step number `step`; False when it has fewer steps."""
    global _left
    child = os.fork()
    if child == 0:
        _left = step
        code = 1
        try:
            work()
            code = 0
        finally:
            sys.stderr.flush()
            os._exit(code)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.waitstatus_to_exitcode(status) == 0, "the work itself failed"
    return False
