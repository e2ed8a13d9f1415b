"""Waiting for other bundlers, with words about who is at work (spec 09 §6.2)."""

from __future__ import annotations

import contextlib
import os
import time

from mesh_bundler.errors import Exit, Refused
from mesh_bundler.files import file_refusal
from mesh_common.locks import FileLock, Held, read_note

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

LOCK_TIMEOUT = 300.0
"""Seconds; one slow download."""
_FIRST_REMARK, _NEXT_REMARKS = 2.0, 10.0  # seconds until the waiting is mentioned, and between mentions


@contextlib.contextmanager
def hold(
    path: Path,
    *,
    timeout: float = LOCK_TIMEOUT,
    waiting: Callable[[str, float], None] | None = None,
    cancelled: Callable[[], None] | None = None,
) -> Iterator[None]:
    """Hold the lock of this path while the block runs.

    `waiting(holder, seconds)` is called after 2 s and then every 10 s; `cancelled` may raise to give up. Raises
    `Refused` with `lock_timeout` (exit 9) or a file error (exit 10).
    """
    remark = _FIRST_REMARK

    def between_tries(waited: float) -> None:
        nonlocal remark
        if waiting is not None and waited >= remark:
            waiting(_holder(read_note(path)), waited)
            remark += _NEXT_REMARKS
        if cancelled is not None:
            cancelled()

    with FileLock(path, mode=0o644) as lock:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lock.acquire(wait=timeout, note=_note(), waiting=between_tries)
        except Held as held:
            raise _timeout(path, timeout, _holder(held.note)) from None
        except OSError as error:
            raise file_refusal(error, path) from error
        yield


def _timeout(path: Path, waited: float, holder: str) -> Refused:
    return Refused(
        "lock_timeout",
        Exit.LOCK,
        f"Another bundler ({holder}) has held {path} for {waited:.0f} s.",
        hint="Wait for it or stop it, then run again; --lock-timeout sets how long to wait.",
        path=str(path),
        holder=holder,
    )


def _holder(note: bytes) -> str:
    text = note.decode("utf-8", "replace").strip()
    return f"process {text}" if text else "an unknown process"


def _note() -> bytes:
    return f"{os.getpid()} {os.uname().nodename} {time.time():.0f}\n".encode()
