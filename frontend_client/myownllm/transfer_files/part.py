"""A file that is received: `<name>.part` in its folder, and checksums of its chunks so that it can be gone on with.

The checksums lie in a file of their own, four bytes for each chunk at four times its number, zero for one that is not
there. They are not synced: after a crash each chunk is read back, and one that does not match is sent again. They find
what a crash did; what a peer did is found by the digest of the whole file.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import time
import zlib
from typing import TYPE_CHECKING, Final

from mesh_common.files import sync, sync_folder
from myownllm.errors import AppError
from myownllm.home import PRIVATE_FILE
from myownllm.transfers.digest import base32
from myownllm.transfers.intake import Intake
from myownllm.transfers.names import PART_SUFFIX, candidates

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from myownllm.coerce import Json
    from myownllm.transfers.intake import Chunk
    from myownllm.transfers.offer import FileOffer

FREE_SPARE_BYTES: Final = 16 * 2**20
"""Kept free behind a whole file, for whatever else the disk is needed for."""
VERIFY_LIMIT_S: Final = 200.0
"""The sender waits 305 s for the answer to its offer; chunks that are not read back by then are sent again."""
_SUM_BYTES: Final = 4
_SUMS_AT_ONCE: Final = 4096
_NO_LINKS: Final = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})


class ReceiveError(AppError):
    """The file cannot be received; the text is what the sender reads."""


def write_error(error: OSError) -> ReceiveError:
    return ReceiveError(f"cannot write the file: {error.strerror or error}")


def check_space(folder: Path, size_bytes: int) -> None:
    """Raises ReceiveError when the folder's disk has no room for that much."""
    try:
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise write_error(error) from None
    if size_bytes + FREE_SPARE_BYTES > free:
        raise ReceiveError(f"not enough space on the receiver: {size_bytes} bytes are needed, {free} are free")


def _sum(data: bytes) -> bytes:
    return (zlib.crc32(data) or 1).to_bytes(_SUM_BYTES, "little")


class PartFile:
    """One file that is being received. Not for two threads at once; it is closed by `finish`, `discard` or `close`."""

    def __init__(self, offer: FileOffer, part: Path, descriptor: int, sums: int | None) -> None:
        self.offer = offer
        self.part = part
        self.intake = Intake(offer)
        self._descriptor = descriptor
        self._sums = sums
        self._digest = hashlib.sha256()
        self._hashed = 0

    @classmethod
    def create(cls, folder: Path, offer: FileOffer, sums: Path | None) -> PartFile:
        """A new part file that no other transfer has; `sums` None: it cannot be gone on with. Raises ReceiveError."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
            check_space(folder, offer.size_bytes)
            for name in candidates(offer.name):
                with contextlib.suppress(FileExistsError):
                    part = folder / f"{name}{PART_SUFFIX}"
                    descriptor = _open(part, os.O_CREAT | os.O_EXCL)
                    break
            else:
                raise ReceiveError(f"there are too many files called {offer.name} in that folder")
            try:
                opened = None if sums is None else _open(sums, os.O_CREAT | os.O_TRUNC)
            except OSError:
                os.close(descriptor)
                part.unlink()
                raise
        except OSError as error:
            raise write_error(error) from None
        return cls(offer, part, descriptor, opened)

    @classmethod
    def reopen(cls, part: Path, offer: FileOffer, sums: Path, given_up: Callable[[], bool]) -> PartFile:
        """A half file with the chunks that are there and match their checksums. Raises OSError when it is gone."""
        descriptor = _open(part, 0)
        try:
            opened = _open(sums, 0)
        except OSError:
            os.close(descriptor)
            raise
        made = cls(offer, part, descriptor, opened)
        try:
            made._verify(opened, given_up)
        except BaseException:
            made.close()
            raise
        return made

    def take(self, payload: Json) -> None:
        """Store a chunk if it counts. Raises ChunkError, ReceiveError; the transfer is over then."""
        chunk = self.intake.take(payload)
        if chunk is not None:
            self._store(chunk)

    def finish(self, folder: Path, given_up: Callable[[], bool]) -> Path:
        """Check the whole file and give it its name in `folder`, or one with a number. Raises ReceiveError."""
        try:
            while self._hashed < self.offer.chunks:
                if given_up():
                    raise ReceiveError("cancelled")
                self._hash(self._read(self._hashed))
            got = base32(self._digest.digest())
            if got != self.offer.sha256_b32:
                raise ReceiveError(f"sha256 mismatch: expected {self.offer.sha256_b32}, got {got}")
            sync(self._descriptor)
            target = _move(self.part, folder, self.offer.name)
            sync_folder(folder)
        except OSError as error:
            raise write_error(error) from None
        self.close()
        return target

    def discard(self) -> None:
        """Leave nothing behind."""
        self.close()
        with contextlib.suppress(OSError):
            self.part.unlink()

    def close(self) -> None:
        """Keep what is there. Closing twice is harmless."""
        for descriptor in (self._descriptor, self._sums):
            if descriptor is not None and descriptor >= 0:
                os.close(descriptor)
        self._descriptor, self._sums = -1, None

    def _store(self, chunk: Chunk) -> None:
        try:
            _write(self._descriptor, chunk.data, chunk.offset)
            if self._sums is not None:
                _write(self._sums, _sum(chunk.data), chunk.index * _SUM_BYTES)
        except OSError as error:
            raise write_error(error) from None
        if chunk.index == self._hashed:
            self._hash(chunk.data)
        elif self._hashed in self.intake.held:  # a gap has closed: one chunk is caught up with each that comes
            self._hash(self._read(self._hashed))

    def _hash(self, data: bytes) -> None:
        self._digest.update(data)
        self._hashed += 1

    def _read(self, index: int) -> bytes:
        return os.pread(self._descriptor, self.offer.length(index), index * self.offer.chunk_size)

    def _verify(self, sums: int, given_up: Callable[[], bool]) -> None:
        deadline = time.monotonic() + VERIFY_LIMIT_S
        for first in range(0, self.offer.chunks, _SUMS_AT_ONCE):
            known = os.pread(sums, _SUM_BYTES * _SUMS_AT_ONCE, first * _SUM_BYTES)
            for at in range(0, len(known) - _SUM_BYTES + 1, _SUM_BYTES):
                expected, index = known[at : at + _SUM_BYTES], first + at // _SUM_BYTES
                if index >= self.offer.chunks or not any(expected):
                    continue
                if time.monotonic() > deadline or given_up():
                    return
                data = self._read(index)
                if len(data) == self.offer.length(index) and _sum(data) == expected:
                    self.intake.held.add(index)
                    if index == self._hashed:
                        self._hash(data)


def _open(path: Path, flags: int) -> int:
    return os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | flags, PRIVATE_FILE)


def _write(descriptor: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written


def _move(part: Path, folder: Path, name: str) -> Path:
    """Give the part file the first free name. No file that is there is ever replaced."""
    for candidate in candidates(name):
        target = folder / candidate
        try:
            target.hardlink_to(part)
        except FileExistsError:
            continue
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            try:
                os.close(_open(target, os.O_CREAT | os.O_EXCL))
            except FileExistsError:
                continue
            return part.replace(target)
        part.unlink()
        return target
    raise ReceiveError(f"there are too many files called {name} in that folder")
