"""A file that is sent: opened once, hashed, and read chunk by chunk."""

from __future__ import annotations

import hashlib
import os
import stat
from typing import TYPE_CHECKING, Final, Self

from myownllm.errors import AppError
from myownllm.transfers.digest import base32

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_SLICE_BYTES: Final = 1 << 20


class SourceError(AppError):
    """The file cannot be sent, or cannot be sent any more."""


class Source:
    """One open regular file. Not for two threads at once."""

    def __init__(self, path: Path) -> None:
        """Raises SourceError."""
        self.path = path
        try:
            self._descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a FIFO must not block us
        except OSError as error:
            raise SourceError(f"cannot read {path}: {error.strerror}") from None
        facts = os.fstat(self._descriptor)
        if not stat.S_ISREG(facts.st_mode):
            os.close(self._descriptor)
            kind = "a folder; pack it into an archive first" if stat.S_ISDIR(facts.st_mode) else "no regular file"
            raise SourceError(f"{path} is {kind}")
        self.size = facts.st_size
        self.stamp = facts.st_mtime_ns
        """changes when the file is written to"""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def digest(self, given_up: Callable[[], bool]) -> str:
        """SHA-256 of the whole file. Raises SourceError, also when it is given up or the file changes meanwhile."""
        digest = hashlib.sha256()
        at = 0
        while at < self.size:
            if given_up():
                raise SourceError("cancelled")
            data = self.read(at, min(_SLICE_BYTES, self.size - at))
            digest.update(data)
            at += len(data)
        self.check()
        return base32(digest.digest())

    def read(self, offset: int, length: int) -> bytes:
        """Exactly those bytes. Raises SourceError."""
        try:
            data = os.pread(self._descriptor, length, offset)
        except OSError as error:
            raise SourceError(f"cannot read {self.path}: {error.strerror}") from None
        if len(data) != length:
            raise self._changed()
        return data

    def check(self) -> None:
        """Raises SourceError when the file is not what it was when it was opened."""
        facts = os.fstat(self._descriptor)
        if (facts.st_size, facts.st_mtime_ns) != (self.size, self.stamp):
            raise self._changed()

    def _changed(self) -> SourceError:
        return SourceError(f"{self.path} changed while it was being sent; send it again")
