"""Ports that are still free when a program under test comes to take them."""

from __future__ import annotations

import os
import socket
from itertools import count

_FIRST = 10_000
_BLOCKS = 220
_BLOCK = 100
"""Below 32768: what the system gives to outgoing connections lies above. Each process has a block, so that workers
that ask at the same time get different ones."""

_asked = count()


def free_port() -> int:
    """One of this process's block, and another one each time."""
    block = _FIRST + os.getpid() % _BLOCKS * _BLOCK
    for _ in range(_BLOCK):
        port = block + next(_asked) % _BLOCK
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
    raise OSError(f"no port is free from {block} to {block + _BLOCK - 1}")
