"""Connections of browsers: the only module that knows the HTTP server, so that another one could take its place.

The server's own `serve` waits for connections that nobody ends, and it shields its sends: one tab that stops reading
would hold up Ctrl-C for ever. So connections are accepted and counted here, and closed hard at the end. Whoever has
proved nothing yet makes room when there are too many.
"""

from __future__ import annotations

import errno
import logging
from typing import TYPE_CHECKING, Any, Final

import anyio
import anyio.abc
import attrs
import trio
from anycorn.app_wrappers import ASGIWrapper
from anycorn.config import Config
from anycorn.tcp_server import TCPServer
from anycorn.typing import LifespanState
from anycorn.worker_context import WorkerContext

from myownllm.ui.guard import HEAD_MAX_BYTES

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable

    Asgi = Callable[[Any, Any, Any], Awaitable[None]]

CONNECTIONS: Final = 64
MESSAGE_MAX_BYTES: Final = 64 * 1024
IDLE_S: Final = 10
"""For the head of a request to come in; also between two requests of a connection."""
SCARCE_S: Final = 0.1
"""Descriptors are asked for again so often; tries without a pause would take a processor."""
_SCARCE: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


@attrs.define(eq=False)
class Visit:
    """One connection; requests on it find it in their scope under `state`."""

    stream: anyio.abc.SocketStream
    is_known: bool = False
    """a request on it came from a session of ours"""

    def close(self) -> None:
        """At once, whatever is on its way; who waits in a send or a receive is woken."""
        raw = self.stream.extra(anyio.abc.SocketAttribute.raw_socket)
        if raw.fileno() >= 0:
            trio.lowlevel.notify_closing(raw)
            raw.close()


class _Connection(TCPServer):
    """The server waits for its idle timer also when the browser has left; a connection that is over must not count."""

    async def _read_data(self) -> None:
        await super()._read_data()
        await self.idle_task.stop()


class WebServer:
    """Serves one ASGI application on this machine."""

    def __init__(self, app: Asgi) -> None:
        self._app = ASGIWrapper(app)
        self._config = Config()
        self._config.accesslog = None
        self._config.errorlog = logging.getLogger("myownllm.ui")
        self._config.h11_max_incomplete_size = HEAD_MAX_BYTES
        self._config.websocket_max_message_size = MESSAGE_MAX_BYTES
        self._config.websocket_permessage_deflate = False  # bytes are free on this machine, memory is not
        self._config.keep_alive_timeout = IDLE_S
        self._config.include_server_header = False
        self._context = WorkerContext(None)
        self._visits: list[Visit] = []

    async def serve(self, listener: socket.socket) -> None:
        """Until cancelled; then every connection is closed within milliseconds."""
        accepting = await anyio.abc.SocketListener.from_socket(listener)
        async with trio.open_nursery() as nursery:
            try:
                while True:
                    stream = await _next(accepting)
                    if (visit := self._admit(stream)) is None:
                        await stream.aclose()
                    else:
                        nursery.start_soon(self._visit, visit)
            finally:
                listener.close()
                for visit in self._visits:
                    visit.close()

    def _admit(self, stream: anyio.abc.SocketStream) -> Visit | None:
        if len(self._visits) >= CONNECTIONS:
            stranger = next((v for v in self._visits if not v.is_known), None)
            if stranger is None:
                return None
            self._visits.remove(stranger)
            stranger.close()
        self._visits.append(visit := Visit(stream))
        return visit

    async def _visit(self, visit: Visit) -> None:
        try:
            await TCPServer(self._app, self._config, self._context, LifespanState({"visit": visit}), visit.stream).run()
        finally:
            if visit in self._visits:
                self._visits.remove(visit)
            visit.close()


async def _next(accepting: anyio.abc.SocketListener) -> anyio.abc.SocketStream:
    """The next connection; while this process has no descriptor for it, it waits in the backlog."""
    while True:
        try:
            return await accepting.accept()
        except anyio.BrokenResourceError as error:
            cause = error.__cause__
            if not isinstance(cause, OSError) or cause.errno not in _SCARCE:
                raise
        await trio.sleep(SCARCE_S)
