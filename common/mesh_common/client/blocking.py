"""The control socket for programs that ask and end: blocking, standard library but for long answers, quick to start."""

from __future__ import annotations

import socket
import time
from collections import deque
from typing import TYPE_CHECKING, Self

from mesh_common.client.errors import ControlError, ErrorKind
from mesh_common.client.protocol import (
    CONNECT_TIMEOUT_S,
    LineBuffer,
    answer_data,
    request_line,
    subscription_id,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path
    from types import TracebackType

_CHUNK = 1 << 16
"""Bytes asked for at once: more than the kernel holds for a Unix socket by default costs allocations only."""


class Connection:
    """One connection to a daemon: requests one after another, or a stream once one of them made it that.

    `timeout` (seconds) bounds each request and each wait for a pushed line; None waits for ever.
    """

    def __init__(self, address: Path | str, timeout: float | None = None) -> None:
        """Connect. Raises `ControlError` CONNECT_FAILED, whose `os_error` tells why."""
        self.timeout = timeout
        self._lines: deque[bytes] = deque()
        self._buffer = LineBuffer()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.settimeout(CONNECT_TIMEOUT_S if timeout is None else min(timeout, CONNECT_TIMEOUT_S))
            self._connect(str(address))
        except OSError as error:
            self._socket.close()
            text = f"connect daemon socket at {address} — is `myownmesh serve` running?"
            raise ControlError(ErrorKind.CONNECT_FAILED, text, os_error=error) from error

    def _connect(self, address: str) -> None:
        """A socket with a limit is refused at once where others wait in line; whoever listens gets to it soon."""
        deadline = time.monotonic() + CONNECT_TIMEOUT_S
        while True:
            try:
                self._socket.connect(address)
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise
                time.sleep(0.01)
            else:
                return

    @classmethod
    def open(cls, addresses: Iterable[Path | str], timeout: float | None = None) -> Self:
        """Connect to the first daemon that can be reached. Raises as for the first address."""
        first: ControlError | None = None
        for address in addresses:
            try:
                return cls(address, timeout)
            except ControlError as error:
                first = first or error
        raise first or ControlError(ErrorKind.CONNECT_FAILED, "no address of a daemon is known")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def request(self, operation: str, /, **members: object) -> object:
        """One request; returns the answer's ``data``. Raises `ControlError`."""
        return answer_data(self.exchange(request_line(operation, members)))

    def subscribe(self) -> str:
        """Make this the event connection of a client; returns its id. `lines` gives what is pushed from now on.

        Requests that name the id go over other connections (spec 05 §3). Raises `ControlError`.
        """
        return subscription_id(self.request("events_subscribe"))

    def exchange(self, line: bytes) -> bytes:
        """Send one request line and return the line that answers it. Raises `ControlError`.

        After a TIMEOUT the connection is of no more use: the late answer would be taken for the next one's.
        """
        deadline = self._deadline()
        self._send(line, deadline)
        return self._receive(deadline)

    def send(self, lines: bytes) -> None:
        """Send request lines whose answers `receive` gives later, in order (spec 05 §3). Raises `ControlError`."""
        self._send(lines, self._deadline())

    def receive(self) -> bytes:
        """The next line of the daemon. Raises `ControlError` TIMEOUT, or CLOSED at the end of the stream."""
        return self._receive(self._deadline())

    def lines(self) -> Iterator[bytes]:
        """What the daemon pushes, line by line, until it closes the connection. Raises `ControlError` TIMEOUT."""
        while True:
            try:
                yield self.receive()
            except ControlError as error:
                if error.kind is ErrorKind.CLOSED:
                    return
                raise

    def fileno(self) -> int:
        """For `select`: readable means that `receive` has something to do."""
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def _send(self, lines: bytes, deadline: float | None) -> None:
        self._arm(deadline)
        try:
            self._socket.sendall(lines)
        except TimeoutError as error:
            raise _timed_out() from error
        except OSError as error:
            raise _closed(error) from error

    def _receive(self, deadline: float | None) -> bytes:
        while not self._lines:
            self._arm(deadline)
            try:
                data = self._socket.recv(_CHUNK)
            except TimeoutError as error:
                raise _timed_out() from error
            except OSError as error:
                raise _closed(error) from error
            if not data:
                rest = self._buffer.rest()
                if not rest:
                    raise _closed()
                return rest
            self._lines.extend(self._buffer.feed(data))
        return self._lines.popleft()

    def _deadline(self) -> float | None:
        return None if self.timeout is None else time.monotonic() + self.timeout

    def _arm(self, deadline: float | None) -> None:
        if deadline is None:
            self._socket.settimeout(None)
        elif (left := deadline - time.monotonic()) <= 0:
            raise _timed_out()
        else:
            self._socket.settimeout(left)


def request(address: Path | str, operation: str, /, *, timeout: float | None = None, **members: object) -> object:
    """One request on a connection of its own; returns ``data``. Raises `ControlError`."""
    with Connection(address, timeout) as connection:
        return connection.request(operation, **members)


def _timed_out() -> ControlError:
    return ControlError(ErrorKind.TIMEOUT, "daemon response timed out")


def _closed(error: OSError | None = None) -> ControlError:
    return ControlError(ErrorKind.CLOSED, "daemon closed connection without a response", os_error=error)
