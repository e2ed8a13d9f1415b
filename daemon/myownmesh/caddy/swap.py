"""The Caddyfile is replaced as a whole, and can be put back, whenever the power goes and however full the disk is.

A mark beside the file says from before the replacement until Caddy runs with it that this is not finished, and what the
file was: whoever comes after a killed installation tells Caddy, or puts that back.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mesh_common.files import keep_copy, read_regular, remove_leftovers, sync_folder, write_atomically, write_beside
from mesh_common.locks import FolderLock
from myownmesh.caddy.tools import CaddyError

if TYPE_CHECKING:
    from collections.abc import Iterator

_FILE_MAX_BYTES: Final = 4 << 20
"""A Caddyfile is read whole; one of thousands of sites has half a megabyte."""
_NEW_MODE: Final = 0o644
"""Caddy reads it as a user of its own."""

_NONE: Final = "/"
_EMPTY: Final = "/empty"
"""No backup has such a name: there was no file, or one without a byte."""


class Swap:
    """One Caddyfile. Every method may raise `OSError`; the file is then the old one or the new one."""

    def __init__(self, path: Path) -> None:
        # A link stays where it is: what it points at is replaced.
        self.path = Path(os.path.realpath(path))
        self._mark = self.path.with_name(f"{self.path.name}.myownmesh-unfinished")

    @contextlib.contextmanager
    def alone(self, now_s: float) -> Iterator[None]:
        """Nobody else installs meanwhile. `now_s` is Unix time. Raises `CaddyError`."""
        with FolderLock(self.path.parent) as lock:
            if not lock.try_acquire():
                raise CaddyError(f"another installation is at work on {self.path}; try again when it is done")
            remove_leftovers(self.path.parent, now_s)
            yield

    @property
    def unfinished(self) -> bool:
        """Whether an installation was interrupted, so that Caddy may not know the file yet."""
        return self._mark.exists()

    def text(self) -> str | None:
        """What the file holds; None when there is none. Raises `CaddyError` for what is no text."""
        try:
            data = read_regular(self.path, _FILE_MAX_BYTES + 1)
        except FileNotFoundError:
            return None
        if len(data) > _FILE_MAX_BYTES:
            raise CaddyError(f"{self.path} has more than {_FILE_MAX_BYTES >> 20} MiB")
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            raise CaddyError(f"{self.path} is not UTF-8 text") from error

    @contextlib.contextmanager
    def candidate(self, text: str) -> Iterator[Path]:
        """The new text in a file beside, where what it imports is found, with the owner and mode of the old one."""
        mode = _NEW_MODE
        with contextlib.suppress(FileNotFoundError):
            mode = stat.S_IMODE(self.path.stat().st_mode)
        beside = write_beside(self.path, text.encode(), mode=mode)
        try:
            with contextlib.suppress(FileNotFoundError):
                owner = self.path.stat()
                os.chown(beside, owner.st_uid, owner.st_gid)
            beside.chmod(mode)  # whatever the umask
            yield beside
        finally:
            beside.unlink(missing_ok=True)

    def put(self, candidate: Path, before: str | None, now_s: float) -> Path | None:
        """Make the candidate the file; returns the backup, None when there was nothing to keep.

        Raises `CaddyError` when the file is no longer `before`.
        """
        if self.text() != before:
            raise CaddyError(f"somebody changed {self.path} just now; try again")
        backup = self.path.with_name(f"{self.path.name}.bak-{int(now_s)}") if before else None
        earlier = self._read_mark()
        was = backup.name if backup is not None else _EMPTY if before is not None else _NONE
        if earlier is not None and earlier[1] == _digest(before):
            was = earlier[0]  # an interrupted one knows what was there before both
        with contextlib.ExitStack() as unwanted:
            if backup is not None:
                keep_copy(self.path, backup)
                unwanted.callback(backup.unlink, missing_ok=True)
            self._write_mark(was, _digest(candidate.read_text("utf-8")))
            candidate.replace(self.path)
            unwanted.pop_all()
        sync_folder(self.path.parent)
        return backup

    def restore(self) -> bool:
        """Put back what was there before the first replacement that Caddy never took. Needs no space on the disk.

        False when there is nothing to put back: nothing was replaced, or a person has edited the file since.
        """
        mark = self._read_mark()
        if mark is None or mark[1] != _digest(self.text()):
            return False
        if mark[0] == _NONE:
            self.path.unlink(missing_ok=True)
        elif mark[0] == _EMPTY:
            with self.candidate("") as empty:
                empty.replace(self.path)
        else:
            backup = self.path.with_name(Path(mark[0]).name)
            keep_copy(backup, self.path)
            backup.unlink(missing_ok=True)
        self.settle()
        return True

    def settle(self) -> None:
        """Caddy runs with the file."""
        self._mark.unlink(missing_ok=True)
        sync_folder(self.path.parent)

    def _read_mark(self) -> tuple[str, str] | None:
        """What the file was, and the digest of what it became."""
        try:
            lines = read_regular(self._mark, 1024).decode("utf-8", "replace").splitlines()
        except FileNotFoundError:
            return None
        return (lines[0], lines[1]) if len(lines) == 2 else None

    def _write_mark(self, was: str, becomes: str) -> None:
        write_atomically(self._mark, f"{was}\n{becomes}\n".encode(), mode=0o600)


def _digest(text: str | None) -> str:
    return "" if text is None else hashlib.sha256(text.encode()).hexdigest()
