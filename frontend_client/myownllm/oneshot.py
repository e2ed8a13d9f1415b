"""The control socket for commands that ask one thing and end: blocking, standard library only, quick to start.

The running app uses `bridge` instead; both speak through `wire`.
"""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING, Final

from myownllm import wire
from myownllm.errors import CLOSED_TEXT, TIMEOUT_TEXT, MeshError, connect_failed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from myownllm.catalog.coerce import Json, JsonObject

_CHUNK: Final = 65_536


class _Line:
    """One connection, read line by line with a deadline."""

    def __init__(self, address: Path, deadline: float) -> None:
        self._lines: list[bytes] = []
        self._buffer = wire.LineBuffer()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(min(wire.CONNECT_TIMEOUT_S, max(0.001, deadline - time.monotonic())))
        try:
            self._socket.connect(str(address))
        except OSError:
            self._socket.close()
            raise connect_failed(address) from None

    def send(self, line: bytes) -> None:
        try:
            self._socket.sendall(line)
        except TimeoutError:
            raise MeshError("timeout", TIMEOUT_TEXT) from None
        except OSError:
            raise MeshError("closed", CLOSED_TEXT) from None

    def read(self, deadline: float | None) -> bytes:
        while not self._lines:
            if deadline is not None:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise MeshError("timeout", TIMEOUT_TEXT)
                self._socket.settimeout(left)
            else:
                self._socket.settimeout(None)
            try:
                data = self._socket.recv(_CHUNK)
            except TimeoutError:
                raise MeshError("timeout", TIMEOUT_TEXT) from None
            except OSError:
                raise MeshError("closed", CLOSED_TEXT) from None
            if not data:
                rest = self._buffer.rest()
                if rest:
                    return rest
                raise MeshError("closed", CLOSED_TEXT)
            self._lines = self._buffer.feed(data)
        return self._lines.pop(0)

    def close(self) -> None:
        self._socket.close()


def request(
    address: Path, operation: str, members: JsonObject | None = None, *, timeout_s: float | None = None
) -> Json:
    """One operation on a fresh connection, which is closed whatever happens. Raises MeshError."""
    line = wire.request_line(operation, members or {})
    deadline = time.monotonic() + (wire.timeout_of(operation) if timeout_s is None else timeout_s)
    connection = _Line(address, deadline)
    try:
        connection.send(line)
        return wire.answer_data(connection.read(deadline))
    finally:
        connection.close()


def probe(address: Path, timeout_s: float = wire.PROBE_TIMEOUT_S) -> JsonObject | None:
    """The answer of `status`, or None when no healthy daemon listens there (spec 08 FE-3.1)."""
    try:
        data = request(address, "status", timeout_s=timeout_s)
    except MeshError:
        return None
    return data if isinstance(data, dict) else {}


class Events:
    """An event connection for the time of one command."""

    def __init__(self, address: Path) -> None:
        deadline = time.monotonic() + wire.FAST_TIMEOUT_S
        self._connection = _Line(address, deadline)
        try:
            self._connection.send(wire.request_line("events_subscribe", {}))
            self.client_id = wire.subscription_id(wire.answer_data(self._connection.read(deadline)))
        except MeshError:
            self._connection.close()
            raise

    def __enter__(self) -> Events:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def frames(self, idle_s: float | None) -> Iterator[wire.Frame]:
        """Frames as they come; raises MeshError `timeout` after `idle_s` seconds without any line."""
        while True:
            deadline = None if idle_s is None else time.monotonic() + idle_s
            try:
                frame = wire.parse_frame(wire.parse_object(self._connection.read(deadline)))
            except MeshError as error:
                if error.kind == "protocol":
                    continue
                raise
            if frame is not None:
                yield frame
