"""Locks that the kernel frees when their holder dies (spec 09 §6.2). A lock *file* that exists means nothing."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import time

from mesh_bundler.errors import Exit, Refused
from mesh_bundler.files import file_refusal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

LOCK_TIMEOUT = 300.0  # seconds; one slow download
_POLL = 0.1  # seconds between attempts: advisory locks have no wait with a time limit
_FIRST_REMARK, _NEXT_REMARKS = 2.0, 10.0  # seconds until the waiting is mentioned, and between mentions
_STALE_AFTER = 60.0  # seconds without a sign of life, only where the file system has no locks
_UNSUPPORTED = frozenset({errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS})


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
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise file_refusal(error, path) from error
    try:
        began, remark = time.monotonic(), _FIRST_REMARK
        while not _try_lock(handle, path):
            waited = time.monotonic() - began
            if waited >= timeout:
                raise _timeout(path, waited)
            if waiting is not None and waited >= remark:
                waiting(_holder(path), waited)
                remark += _NEXT_REMARKS
            if cancelled is not None:
                cancelled()
            time.sleep(min(_POLL, max(0.0, timeout - waited)))
        _write_holder(handle)
        try:
            yield
        finally:
            _unlock(handle, path)
    finally:
        os.close(handle)


def _timeout(path: Path, waited: float) -> Refused:
    holder = _holder(path)
    return Refused(
        "lock_timeout",
        Exit.LOCK,
        f"Another bundler ({holder}) has held {path} for {waited:.0f} s.",
        hint="Wait for it or stop it, then run again; --lock-timeout sets how long to wait.",
        path=str(path),
        holder=holder,
    )


def _holder(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        text = ""
    return f"process {text}" if text else "an unknown process"


def _host_name() -> str:
    import socket  # slow to import and of use to people only

    return socket.gethostname()


def _write_holder(handle: int) -> None:
    text = f"{os.getpid()} {_host_name()} {time.time():.0f}\n".encode()
    with contextlib.suppress(OSError):  # information for people only
        if sys.platform != "win32":  # there the locked byte is in the way of readers anyway
            os.ftruncate(handle, 0)
            os.pwrite(handle, text, 0)


if sys.platform == "win32":
    import msvcrt

    def _try_lock(handle: int, path: Path) -> bool:
        try:
            os.lseek(handle, 0, os.SEEK_SET)
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _unlock(handle: int, path: Path) -> None:
        os.lseek(handle, 0, os.SEEK_SET)
        msvcrt.locking(handle, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _try_lock(handle: int, path: Path) -> bool:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno in _UNSUPPORTED:
                return _try_create(path)
            raise file_refusal(error, path) from error
        return True

    def _unlock(handle: int, path: Path) -> None:
        with contextlib.suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_UN)
        if (mine := _Claim.held.pop(path, None)) is not None:
            mine.release()


class _Claim:
    """Stand-in for a file system without locks: a file that its owner touches every few seconds."""

    held: dict[Path, _Claim] = {}  # noqa: RUF012 - the process's claims, by path
    _BEAT = 5.0  # seconds

    def __init__(self, path: Path) -> None:
        import threading

        self._path = path
        self._done = threading.Event()
        threading.Thread(target=self._beat, daemon=True).start()

    def release(self) -> None:
        self._done.set()
        self._path.unlink(missing_ok=True)

    def _beat(self) -> None:
        while not self._done.wait(self._BEAT):
            with contextlib.suppress(OSError):
                os.utime(self._path)


def _try_create(path: Path) -> bool:
    claim = path.with_name(path.name + ".excl")
    try:
        os.close(os.open(claim, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
    except FileExistsError:
        with contextlib.suppress(OSError):
            if time.time() - claim.stat().st_mtime > _STALE_AFTER:
                claim.unlink()
        return False
    _Claim.held[path] = _Claim(claim)
    return True
