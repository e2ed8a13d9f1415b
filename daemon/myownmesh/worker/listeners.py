"""Connections that strangers open: taken in turns, and left in the queue while there is no descriptor for them."""

from __future__ import annotations

import errno
import socket
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from myownmesh.worker.loop import Loop, Ready

ACCEPTS: Final = 64
"""In one callback, before others have their turn."""


class Listeners:
    """The listening sockets of one loop."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._paused: list[tuple[socket.socket, Ready]] = []

    def listen(
        self, listener: socket.socket, add: Callable[[socket.socket, tuple[Any, ...]], None], at_once: int = ACCEPTS
    ) -> None:
        """Hand each connection, which does not block and does not wait to send, to `add` with its address."""

        def ready(_events: int) -> None:
            for _ in range(at_once):
                try:
                    made, address = listener.accept()
                    made.setblocking(False)
                    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                except BlockingIOError:
                    return
                except OSError as error:
                    if error.errno not in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                        continue  # gone already
                    self._loop.forget(listener)
                    self._paused.append((listener, ready))
                    return
                add(made, address)

        self._loop.watch(listener, ready)

    def resume(self) -> None:
        """Whoever waits in the queue is taken when there is a descriptor again. Due once a second."""
        paused, self._paused = self._paused, []
        for listener, ready in paused:
            self._loop.watch(listener, ready)
