"""The screens' ports on this machine: open from the start, although nothing that serves them is loaded yet."""

from __future__ import annotations

import socket
from typing import Final

from myownllm.ui.guard import HOST

_BACKLOG: Final = 64


def open_port(port: int) -> socket.socket:
    """A listener on this machine alone, at that port or, if somebody has it, at a free one. Raises OSError."""
    try:
        return listen(port)
    except OSError:
        if port == 0:
            raise
        return listen(0)


def listen(port: int, address: str = HOST) -> socket.socket:
    """A listener at that address and port. Raises OSError."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen(_BACKLOG)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener
