"""Socket files that are private from their first instant."""

from __future__ import annotations

import contextlib
import os
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from pathlib import Path

PRIVATE = 0o600
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def bind_privately(listener: socket.socket, path: Path) -> bool:
    """Bind a Unix socket to a new file that its owner alone can open; true when that is so.

    It is not where a file system gives all files one mode and changes none; then who knocks has to be looked at.
    Raises OSError when there can be no socket at this path.
    """
    # The mode is right before anybody can see the file, not only after the chmod.
    before = os.umask(0o777 & ~PRIVATE)
    try:
        listener.bind(os.fspath(path))
    finally:
        os.umask(before)
    with contextlib.suppress(OSError):
        path.chmod(PRIVATE)
    return not path.lstat().st_mode & _OTHERS
