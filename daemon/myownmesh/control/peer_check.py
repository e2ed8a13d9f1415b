"""Who is at the other end of a control connection (spec 05 W1)."""

from __future__ import annotations

import os
import socket
import struct
import sys
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Callable

_UCRED = struct.Struct("3i")
"""Linux: pid, uid, gid."""
_XUCRED = struct.Struct("2I")
"""macOS and BSD: version, uid; groups follow."""
_SOL_LOCAL, _LOCAL_PEERCRED = 0, 1


def peer_uid(sock: socket.socket) -> int | None:
    """The user at the other end, or None where the system does not tell."""
    try:
        if sys.platform == "linux":
            return int(_UCRED.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))[1])
        if sys.platform == "darwin" or "bsd" in sys.platform:
            return int(_XUCRED.unpack(sock.getsockopt(_SOL_LOCAL, _LOCAL_PEERCRED, 76)[: _XUCRED.size])[1])
    except OSError:
        return None
    return None


class PeerPolicy(Struct, frozen=True, kw_only=True):
    """Who may use the socket besides root."""

    any_local_user: bool = False
    """Whoever can open the file; its mode follows the umask (compatibility switch, spec 10 §3)."""
    group: str | None = None
    """Members of this system group may open the file (`daemon.socket_group`)."""

    def admits(self, uid: int | None) -> bool:
        """Whether a client of this user may stay. With a group, the file's mode has decided already."""
        if self.any_local_user or self.group is not None or uid is None:
            return True
        return uid in (0, _own_uid())

    def refusal(self, uid: int | None) -> str:
        """Why a client was turned away."""
        return (
            f"this control socket belongs to user {_own_uid()} and you are user {uid}; "
            "use that account, or set daemon.socket_group in its config.json"
        )


def _own_uid() -> int:
    geteuid: Callable[[], int] | None = getattr(os, "geteuid", None)
    return -1 if geteuid is None else geteuid()
