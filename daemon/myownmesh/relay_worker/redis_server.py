"""A connection to the server of a bus: coredis, with bounds on what it hands over."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import trio
from anyio.abc import ByteStream
from coredis.connection import TCPConnection, UnixDomainSocketConnection
from coredis.exceptions import RedisError
from coredis.pool import ConnectionPool

from myownmesh.cluster.entries import MAX_BATCH_BYTES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from coredis.connection import BaseConnection

LIMIT_S: Final = 5.0
"""For an answer of the server."""
READ_AT_ONCE: Final = 16
ANSWER_BYTES: Final = READ_AT_ONCE * (MAX_BATCH_BYTES + 1024)
"""No answer to an honest relay is longer. Whatever somebody else has put into the stream, no more of it is read."""


class TooLong(RedisError):
    """An answer is longer than any that is for relays."""


class Bounded(ByteStream):
    """What a server says, as long as one answer has no more bytes than it may."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self.left = ANSWER_BYTES

    async def receive(self, max_bytes: int = 65536) -> bytes:
        data = await self._stream.receive(max_bytes)
        self.left -= len(data)
        if self.left < 0:
            raise TooLong("something in its stream is longer than anything of ours")
        return data

    async def send(self, item: bytes) -> None:
        await self._stream.send(item)

    async def send_eof(self) -> None:
        await self._stream.send_eof()

    async def aclose(self) -> None:
        await self._stream.aclose()

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        return self._stream.extra_attributes


class OverTcp(TCPConnection):
    async def _connect(self) -> ByteStream:
        return Bounded(await super()._connect())


class OverUnix(UnixDomainSocketConnection):
    async def _connect(self) -> ByteStream:
        return Bounded(await super()._connect())


class Server:
    """One connection. Commands go as they are: coredis' methods for them cost half as much again (measured)."""

    def __init__(self, connection: BaseConnection) -> None:
        self._connection = connection

    async def ask(self, command: bytes, *words: bytes | str | int, limit_s: float = LIMIT_S) -> Any:
        """The answer. Raises `RedisError`, `trio.TooSlowError`."""
        if isinstance(stream := self._connection.stream, Bounded):
            stream.left = ANSWER_BYTES
        with trio.fail_after(limit_s):
            return await self._connection.create_request(command, *words)


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Server]:
    """A connection. Raises `RedisError`, `OSError`, `trio.TooSlowError`."""
    scheme, colon, rest = url.partition(":")
    url = {"valkey": "redis", "valkeys": "rediss"}.get(scheme, scheme) + colon + rest
    pool: ConnectionPool[Any] = ConnectionPool.from_url(
        url, connect_timeout=LIMIT_S, max_connections=1, client_name="myownmesh-relay"
    )
    pool.connection_class = OverUnix if pool.connection_class is UnixDomainSocketConnection else OverTcp
    async with pool:
        with trio.fail_after(2 * LIMIT_S):
            connection = await pool.get_connection()
        yield Server(connection)
