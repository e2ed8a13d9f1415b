"""A plain blocking client of the control socket: one connection, one request, one answer, or a stream of lines.

It uses neither trio nor attrs, because most of the time of a ``ctl`` command would be their import.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from typing import TYPE_CHECKING, Protocol

from myownmesh.cli.errors import CliError
from myownmesh.store.config_address import pinned_socket
from myownmesh.store.errors import os_error_text
from myownmesh.store.paths import WINDOWS_PIPE, Home

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

MAX_LINE_BYTES = 256 << 20
"""Longest answer taken. Far above any honest one; only there so that a broken daemon cannot eat all memory."""

SYSTEM_SOCKET = (
    "/Library/Application Support/MyOwnMesh/daemon.sock"
    if sys.platform == "darwin"
    else "/var/lib/myownmesh/daemon.sock"
)
"""Where a daemon of the system service keeps its socket (spec 07 §7); tried last (C13)."""

_CHUNK = 1 << 16

Request = dict[str, object]


class DaemonError(CliError):
    """The daemon answered that the request failed."""

    def __init__(self, text: str) -> None:
        self.text = text
        super().__init__(f"daemon error: {text}")


class NoDaemon(CliError):
    """Nobody answers on the control socket."""

    def __init__(self, error: OSError) -> None:
        super().__init__(f"connect daemon socket — is `myownmesh serve` running?: {os_error_text(error)}")


class _Stream(Protocol):
    def send(self, data: bytes, /) -> object: ...
    def recv(self, size: int, /) -> bytes: ...
    def close(self) -> None: ...


class Connection:
    """One connection to the daemon. `timeout` (seconds) bounds each wait for the daemon; None waits for ever."""

    def __init__(self, stream: _Stream, timeout: float | None) -> None:
        self._stream = stream
        self._timeout = timeout
        self._buffer = bytearray()

    @classmethod
    def open(cls, timeout: float | None) -> Connection:
        """Connect to the first daemon that can be reached. Raises `NoDaemon`."""
        first: OSError | None = None
        for address in addresses():
            try:
                return cls(_connect(address, timeout), timeout)
            except OSError as error:
                first = first or error
        raise NoDaemon(first or FileNotFoundError(2, "No such file or directory"))

    def __enter__(self) -> Connection:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stream.close()

    def request(self, request: Request) -> object:
        """Send one request and return the answer's ``data``. Raises `DaemonError`, or `CliError` without an answer."""
        line = json.dumps(request, ensure_ascii=False, separators=(",", ":")).encode("utf-8") + b"\n"
        try:
            self._send(line)
            answer = self._line()
        except TimeoutError as error:
            raise CliError(f"no answer from the daemon within {self._timeout:g} s") from error
        except OSError as error:
            raise CliError(f"talk to the daemon: {os_error_text(error)}") from error
        if not answer:
            raise CliError("daemon closed connection without a response")
        return _data(answer)

    def lines(self) -> Iterator[bytes]:
        """Everything the daemon pushes, line by line, until it closes the connection."""
        while True:
            try:
                line = self._line()
            except TimeoutError as error:
                raise CliError(f"nothing from the daemon within {self._timeout:g} s") from error
            except ConnectionError:
                return
            if not line:
                return
            yield line

    def _send(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            sent = self._stream.send(view)  # type: ignore[arg-type]
            view = view[sent if isinstance(sent, int) else len(view) :]

    def _line(self) -> bytes:
        """The next line without its end, or what is left when the daemon closes; empty at the end."""
        searched = 0
        while (end := self._buffer.find(b"\n", searched)) < 0:
            if len(self._buffer) > MAX_LINE_BYTES:
                raise CliError("the daemon's answer has no end; giving up")
            searched = len(self._buffer)
            chunk = self._stream.recv(_CHUNK)
            if not chunk:
                rest = bytes(self._buffer)
                self._buffer.clear()
                return rest
            self._buffer += chunk
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return line.removesuffix(b"\r") or b" "


def addresses() -> list[str]:
    """Where a daemon may listen, most specific first (spec 05 §1.1, 07 C13)."""
    home = Home.resolve(os.environ)
    if sys.platform == "win32":
        pinned = pinned_socket(home.config)
        return [pinned] if pinned is not None and pinned.startswith("\\\\.\\pipe\\") else [WINDOWS_PIPE]
    found = [str(home.socket(pinned_socket(home.config)))]
    if not os.environ.get("MYOWNMESH_HOME", "").strip():
        found.append(SYSTEM_SOCKET)
    return found


def request(request: Request, timeout: float | None = None) -> object:
    """One request on a connection of its own; returns ``data``. Raises `CliError`."""
    with Connection.open(timeout) as connection:
        return connection.request(request)


def _data(line: bytes) -> object:
    try:
        answer = json.loads(line)
    except ValueError as error:
        raise CliError(f"parse response: {error}") from error
    if not isinstance(answer, dict) or not isinstance(answer.get("ok"), bool):
        raise CliError("parse response: the answer has no boolean `ok`")
    if answer["ok"]:
        return answer.get("data")
    text = answer.get("error")
    raise DaemonError(text if isinstance(text, str) else "(no error message)")


if sys.platform == "win32":

    class _Pipe:
        """A named pipe with the methods of a socket."""

        def __init__(self, path: str) -> None:
            self._file = open(path, "r+b", buffering=0)  # noqa: SIM115, PTH123 - closed by `close`

        def send(self, data: bytes) -> object:
            return self._file.write(data)

        def recv(self, size: int) -> bytes:
            return self._file.read(size) or b""

        def close(self) -> None:
            self._file.close()

    def _connect(address: str, timeout: float | None) -> _Stream:
        deadline = time.monotonic() + (5.0 if timeout is None else timeout)
        while True:
            try:
                return _Pipe(address)
            except OSError as error:
                # All instances of the pipe are busy for a moment.
                if getattr(error, "winerror", None) != 231 or time.monotonic() > deadline:
                    raise
                time.sleep(0.02)

else:

    def _connect(address: str, timeout: float | None) -> _Stream:
        stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            stream.settimeout(timeout)
            stream.connect(address)
        except BaseException:
            stream.close()
            raise
        return stream
