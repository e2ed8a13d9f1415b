"""A stand-in for kernel locks where the file system has none: a file that its owner touches while it lives."""

from __future__ import annotations

import contextlib
import os
import threading
import time

from mesh_common.files import unique
from mesh_common.processes import alive

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

_BEAT = 5.0
"""Seconds between two signs of life."""
_STALE_AFTER = 60.0
"""Seconds without one until a claim belongs to nobody; a machine may sleep or swap for some."""


class Claim:
    """The file beside a lock's that says: held. Made by `make`, gone with `release`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._done = threading.Event()
        threading.Thread(target=self._beat, daemon=True).start()

    @classmethod
    def make(cls, lock: Path) -> Claim | None:
        """Claim the lock, or None while somebody else has it. Raises OSError."""
        path = _claim_of(lock)
        try:
            descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        except FileExistsError:
            _clear_if_stale(path)
            return None  # the next try finds it gone
        with contextlib.suppress(OSError):  # without its words only its age tells a dead owner
            os.write(descriptor, _us().encode())
        os.close(descriptor)
        return cls(path)

    @staticmethod
    def exists(lock: Path) -> bool:
        """Whether somebody claims the lock now."""
        try:
            return not _is_stale(_claim_of(lock))
        except OSError:
            return False

    def release(self) -> None:
        """Let the next one in."""
        self._done.set()
        self._path.unlink(missing_ok=True)

    def _beat(self) -> None:
        while not self._done.wait(_BEAT):
            with contextlib.suppress(OSError):
                os.utime(self._path)


def _claim_of(lock: Path) -> Path:
    return lock.with_name(lock.name + ".excl")


def _us() -> str:
    return f"{os.getpid()} {os.uname().nodename}"


def _is_stale(claim: Path) -> bool:
    """Nobody has touched it for long, or its owner was a process of this machine and is no more. Raises OSError."""
    if time.time() - claim.stat().st_mtime > _STALE_AFTER:
        return True
    pid, _, machine = claim.read_text("utf-8", "replace").partition(" ")
    return machine == os.uname().nodename and pid.isdecimal() and not alive(int(pid))


def _clear_if_stale(path: Path) -> None:
    """Two that find the same stale claim must not delete each other's new one: it is moved away and looked at first."""
    with contextlib.suppress(OSError):
        if not _is_stale(path):
            return
        aside = path.with_name(f"{path.name}.{unique()}.tmp")
        path.rename(aside)
        if _is_stale(aside):
            aside.unlink()
        else:
            aside.rename(path)
