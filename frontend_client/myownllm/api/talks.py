"""Connections of the local API under way: one request after another on each, so many at once and no more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from myownllm.api.connection import BodyRoom, ClientGone, HttpConnection
from myownllm.api.failures import ApiError
from myownllm.api.routes import Routes

if TYPE_CHECKING:
    import trio

    from myownllm.api.backend import Backend
    from myownllm.api.settings import ApiSettings

CONNECTIONS_MAX: Final = 128
"""Further ones are closed at once."""


class Talks:
    """What the connections of one listener share."""

    def __init__(self, backend: Backend, settings: ApiSettings) -> None:
        self._routes = Routes(backend, settings)
        self._room = BodyRoom()
        self._connections = 0

    async def serve(self, stream: trio.SocketStream) -> None:
        """Serve a connection to its end."""
        async with stream:
            if self._connections >= CONNECTIONS_MAX:
                return
            self._connections += 1
            try:
                await self._talk(HttpConnection(stream, self._room))
            except ClientGone:
                return
            finally:
                self._connections -= 1

    async def _talk(self, connection: HttpConnection) -> None:
        while True:
            try:
                head = await connection.next_head()
            except ApiError as error:
                await self._routes.refuse(connection, error)
                break
            if head is None:
                return
            await self._routes.serve(connection, head)
            if not connection.next_request():
                break
        await connection.part()
