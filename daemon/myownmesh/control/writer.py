"""Writing to a client without waiting for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from myownmesh.control.readiness import Readiness


class Writer:
    """Sends at once what the socket takes and the rest as it drains.

    `on_drained` is called after a rest has left, `on_broken` once when the client is gone. What may wait is bounded by
    the caller: it looks at `blocked` before it writes more.
    """

    __slots__ = ("_on_broken", "_on_drained", "_readiness", "_rest", "_socket")

    def __init__(
        self,
        sock: socket.socket,
        readiness: Readiness,
        on_drained: Callable[[], None],
        on_broken: Callable[[], None],
    ) -> None:
        self._socket = sock
        self._readiness = readiness
        self._on_drained = on_drained
        self._on_broken = on_broken
        self._rest = b""

    @property
    def blocked(self) -> bool:
        """True while something waits for the client to read."""
        return bool(self._rest)

    def write(self, data: bytes) -> None:
        """Send `data` behind whatever still waits."""
        if self._rest:
            self._rest += data
            return
        try:
            sent = self._socket.send(data)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError:
            self._on_broken()
            return
        if sent < len(data):
            self._rest = data[sent:]
            self._readiness.add_writer(self._socket.fileno(), self._writable)

    def close(self) -> None:
        """Forget what waits and stop watching; the socket itself is the caller's."""
        if self._rest:
            self._rest = b""
            self._readiness.remove_writer(self._socket.fileno())

    def _writable(self) -> None:
        if not self._rest:
            return
        try:
            sent = self._socket.send(self._rest)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self._on_broken()
            return
        self._rest = self._rest[sent:]
        if not self._rest:
            self._readiness.remove_writer(self._socket.fileno())
            self._on_drained()
