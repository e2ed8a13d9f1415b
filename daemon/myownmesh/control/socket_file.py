"""The socket file: made privately, never taken from a living daemon, removed by its owner only (spec 05 W1, W3, W4)."""

from __future__ import annotations

import errno
import logging
import os
import socket
import stat
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import trio
from msgspec import Struct

from mesh_common.sockets import bind_privately

if TYPE_CHECKING:
    from myownmesh.control.peer_check import PeerPolicy

log = logging.getLogger(__name__)

MAX_PATH_BYTES = 107 if sys.platform == "linux" else 103
"""What fits into `sun_path` before its NUL."""

PROBE_SECONDS = 2.0
"""For a daemon on the old socket to answer. One that accepts but does not answer is alive all the same."""

BACKLOG = 1024
"""Clients that connect in a burst while the loop is busy; the system may lower it."""

_PROBE = b'{"op":"status"}\n'


class ControlSocketError(Exception):
    """There can be no control socket at this path; the text says why and what to do."""


class BoundSocket(Struct, frozen=True, eq=False):
    """A listening socket and the file that it owns."""

    socket: socket.socket
    path: Path
    device: int
    inode: int

    def is_gone(self) -> bool:
        """True when nothing is at the path any more; what somebody else has put there counts as something."""
        try:
            self.path.lstat()
        except FileNotFoundError:
            return True
        except OSError:
            return False  # not to be seen at the moment
        return False

    def close(self) -> None:
        """Stop listening and remove the file, unless somebody else's has taken its place."""
        self.socket.close()
        try:
            found = self.path.lstat()
            if (found.st_dev, found.st_ino) == (self.device, self.inode):
                self.path.unlink()
        except FileNotFoundError:
            return


async def bind(path: Path, policy: PeerPolicy) -> BoundSocket:
    """Make the socket file and listen on it. Raises `ControlSocketError`."""
    if "\0" in str(path):
        raise ControlSocketError(f"control socket {str(path)!r} holds a NUL byte; correct daemon.control_socket")
    nbytes = len(os.fsencode(path))
    if nbytes > MAX_PATH_BYTES:
        raise ControlSocketError(
            f"control socket path of {nbytes} bytes is too long for this system (at most {MAX_PATH_BYTES}): {path}; "
            "set daemon.control_socket in config.json to a shorter one"
        )
    _make_folder(path.parent)
    try:
        await _clear_away(path)
        return _listen(path, policy)
    except OSError as error:
        raise ControlSocketError(f"control socket {path}: {error.strerror or error}") from error


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ControlSocketError(
            f"the folder {folder} for the control socket cannot be made ({error.strerror or error}); "
            "make it, or set daemon.control_socket in config.json to another path"
        ) from error


def _listen(path: Path, policy: PeerPolicy) -> BoundSocket:
    with ExitStack() as opened:
        listener = opened.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        listener.setblocking(False)
        if policy.any_local_user:
            listener.bind(os.fspath(path))
        else:
            private = bind_privately(listener, path)
            if policy.group is not None:
                _hand_to_group(path, policy.group)
            elif not private:
                log.warning(
                    "other users can open the control socket %s on this file system; they are turned away by their id",
                    path,
                )
        found = path.lstat()
        listener.listen(BACKLOG)
        opened.pop_all()
    return BoundSocket(listener, path, found.st_dev, found.st_ino)


def _hand_to_group(path: Path, group: str) -> None:
    import shutil  # most sockets are one user's

    try:
        shutil.chown(path, group=group)
        path.chmod(0o660)
    except LookupError:
        path.unlink()
        raise ControlSocketError(
            f"daemon.socket_group names the group '{group}', which this system does not have; create it or unset it"
        ) from None
    except OSError as error:
        path.unlink()
        raise ControlSocketError(
            f"the control socket cannot be given to the group '{group}' ({error.strerror}); the daemon's user must be "
            "a member of it, and the file system must have modes"
        ) from None


async def _clear_away(path: Path) -> None:
    """Make room for the file. Raises `ControlSocketError` when a daemon lives there."""
    if not _old_socket_at(path):
        return
    if await _is_alive(path):
        raise ControlSocketError(
            f"another daemon answers at {path}; stop it first, or set daemon.control_socket to another path"
        )
    _remove(path)


def _old_socket_at(path: Path) -> bool:
    """True when a socket file (or a link) is in the way; other files are put aside, a directory is an error."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return False
    if stat.S_ISDIR(found.st_mode):
        raise ControlSocketError(f"control socket {path}: a directory of that name is in the way; move it aside")
    if not stat.S_ISREG(found.st_mode):
        return True
    # A mistyped `daemon.control_socket` must not cost anybody a file.
    if found.st_size:
        path.replace(path.with_name(f"{path.name}.replaced"))
    else:
        path.unlink()
    return False


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)


async def _is_alive(path: Path) -> bool:
    """True when something accepts connections on this socket."""
    with trio.move_on_after(PROBE_SECONDS) as scope, trio.socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            await probe.connect(os.fspath(path))
        except OSError as error:
            # A full backlog (EAGAIN) and a forbidden one (EACCES) belong to somebody.
            return error.errno not in (errno.ECONNREFUSED, errno.ENOENT, errno.ENOTSOCK)
        try:
            await probe.send(_PROBE)
            return bool(await probe.recv(1))
        except OSError:
            return False  # it accepted and closed: on its way out
    return scope.cancelled_caught
