"""One connection to a daemon, under trio or asyncio: lines out, lines in."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Protocol, Self

import anyio
from anyio import BrokenResourceError, CancelScope, ClosedResourceError, EndOfStream

from mesh_common.client.errors import ControlError, ErrorKind
from mesh_common.client.protocol import CONNECT_TIMEOUT_S, LineBuffer

if TYPE_CHECKING:
    from collections.abc import Awaitable
    from pathlib import Path


class Stream(Protocol):
    """What a connection needs of a byte stream; anyio's streams have it."""

    async def receive(self) -> bytes:
        """The next bytes. Raises `anyio.EndOfStream` or `anyio.BrokenResourceError` at the end."""
        ...

    async def send(self, data: bytes, /) -> None: ...
    async def aclose(self) -> None: ...


class Connect(Protocol):
    """Opens the control socket. Raises `OSError`."""

    def __call__(self, address: Path | str, /) -> Awaitable[Stream]: ...


async def connect_unix(address: Path | str) -> Stream:
    """Open a Unix socket, under trio or asyncio."""
    return await anyio.connect_unix(address)


class Connection:
    """Requests one after another, or a stream once one of them made it that. No wait here has a limit but `open`'s."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self._buffer = LineBuffer()
        self._lines: deque[bytes] = deque()

    @classmethod
    async def open(cls, address: Path | str, connect: Connect = connect_unix) -> Self:
        """Connect within 2 s. Raises `ControlError` CONNECT_FAILED, whose `os_error` tells why."""
        try:
            with anyio.fail_after(CONNECT_TIMEOUT_S):
                return cls(await connect(address))
        except OSError as error:  # a timeout is one too
            text = f"connect daemon socket at {address} — is `myownmesh serve` running?"
            raise ControlError(ErrorKind.CONNECT_FAILED, text, os_error=error) from error

    async def send(self, lines: bytes) -> None:
        """Send request lines; each gets one line in answer, in order (spec 05 §3). Raises `ControlError` CLOSED."""
        try:
            await self.stream.send(lines)
        except (BrokenResourceError, ClosedResourceError) as error:
            raise _closed() from error

    async def receive(self) -> bytes:
        """The next line of the daemon. Raises `ControlError` CLOSED at the end of the stream, or PROTOCOL."""
        while not self._lines:
            try:
                data = await self.stream.receive()
            except (EndOfStream, BrokenResourceError, ClosedResourceError):
                rest = self._buffer.rest()
                if not rest:
                    raise _closed() from None
                return rest
            self._lines.extend(self._buffer.feed(data))
        return self._lines.popleft()

    @property
    def has_line(self) -> bool:
        """Can the next line be had without waiting?"""
        return bool(self._lines)

    async def exchange(self, line: bytes) -> bytes:
        """Send one request line and return the line that answers it. Raises as `send` and `receive`.

        When the wait is cancelled the connection is of no more use: the late answer would be the next one's.
        """
        await self.send(line)
        return await self.receive()

    async def aclose(self) -> None:
        """Close; also when the caller is being cancelled."""
        with CancelScope(shield=True):  # closing a local socket does not wait
            await self.stream.aclose()


def _closed() -> ControlError:
    return ControlError(ErrorKind.CLOSED, "daemon closed connection without a response")
