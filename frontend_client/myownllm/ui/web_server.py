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
from anycorn.events import Updated
from anycorn.tcp_server import TCPServer
from anycorn.typing import LifespanState
from anycorn.worker_context import WorkerContext

from myownllm.ui.guard import HEAD_MAX_BYTES

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable

    from anycorn.events import Event

    from myownllm.ui.sessions import Session

    Asgi = Callable[[Any, Any, Any], Awaitable[None]]

CONNECTIONS: Final = 64
MESSAGE_MAX_BYTES: Final = 64 * 1024
IDLE_S: Final = 10
"""For the head of a request to come in; also between two requests of a connection."""
SCARCE_S: Final = 0.1
"""Descriptors are asked for again so often; tries without a pause would take a processor."""
LOOK_S: Final = 5.0
"""How often it is looked whether somebody takes nothing any more."""
_SCARCE: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


@attrs.define(eq=False)
class Visit:
    """One connection; requests on it find it in their scope under `state`."""

    stream: anyio.abc.SocketStream
    address: str = ""
    """of the other side"""
    is_known: bool = False
    """a request on it came from a session of ours"""
    session: Session | None = None
    sending_since: float | None = None
    """by trio's clock, while the other side has not taken what it was sent last"""

    def close(self) -> None:
        """At once, whatever is on its way; who waits in a send or a receive is woken."""
        raw = self.stream.extra(anyio.abc.SocketAttribute.raw_socket)
        if raw.fileno() >= 0:
            trio.lowlevel.notify_closing(raw)
            raw.close()


class _Connection(TCPServer):
    """The server waits for its idle timer also when the browser has left; a connection that is over must not count."""

    _is_over = False

    async def _read_data(self) -> None:
        await super()._read_data()
        self._is_over = True
        await self.idle_task.stop()

    async def protocol_send(self, event: Event) -> None:
        if self._is_over and isinstance(event, Updated):
            return  # the end of an answer would start the timer again for a browser that has read it and left
        visit: Visit = self.state["visit"]
        visit.sending_since = trio.current_time()
        try:
            await super().protocol_send(event)
        finally:
            visit.sending_since = None


@attrs.frozen(kw_only=True)
class Limits:
    """Of one server; those of the screen of this machine are the default."""

    admits: Callable[[str, str], bool] = lambda _there, _here: True
    """whether addresses of the other side and of ours may be connected; others are closed at once"""
    per_address: int = CONNECTIONS
    """connections; one more costs the oldest from there that has proved nothing, or is closed"""
    send_s: float | None = None
    """whoever takes nothing for so long is closed"""


class WebServer:
    """Serves one ASGI application."""

    def __init__(self, app: Asgi, limits: Limits | None = None) -> None:
        self._app = ASGIWrapper(app)
        self._limits = Limits() if limits is None else limits
        self._config = Config()
        self._config.accesslog = None
        self._config.errorlog = logging.getLogger(__name__)
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
            if self._limits.send_s is not None:
                nursery.start_soon(self._close_stalled, self._limits.send_s)
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

    @property
    def count(self) -> int:
        """Connections now."""
        return len(self._visits)

    def end(self, session: Session) -> None:
        """Close every connection of a session."""
        for visit in self._visits:
            if visit.session is session:
                visit.close()

    def _admit(self, stream: anyio.abc.SocketStream) -> Visit | None:
        there, here = _ends(stream)
        if not self._limits.admits(there, here):
            return None
        from_there = [v for v in self._visits if v.address == there]
        if len(from_there) >= self._limits.per_address and not self._make_room(from_there):
            return None
        if len(self._visits) >= CONNECTIONS and not self._make_room(self._visits):
            return None
        self._visits.append(visit := Visit(stream, there))
        return visit

    def _make_room(self, among: list[Visit]) -> bool:
        stranger = next((v for v in among if not v.is_known), None)
        if stranger is None:
            return False
        self._visits.remove(stranger)
        stranger.close()
        return True

    async def _close_stalled(self, send_s: float) -> None:
        while True:
            await trio.sleep(min(LOOK_S, send_s))
            for visit in self._visits:
                if visit.sending_since is not None and trio.current_time() - visit.sending_since >= send_s:
                    visit.close()

    async def _visit(self, visit: Visit) -> None:
        try:
            await _Connection(
                self._app, self._config, self._context, LifespanState({"visit": visit}), visit.stream
            ).run()
        finally:
            if visit in self._visits:
                self._visits.remove(visit)
            visit.close()


def _ends(stream: anyio.abc.SocketStream) -> tuple[str, str]:
    """Addresses of the other side and of ours; empty of one that has left already."""
    raw = stream.extra(anyio.abc.SocketAttribute.raw_socket)
    try:
        return str(raw.getpeername()[0]), str(raw.getsockname()[0])
    except OSError:
        return "", ""


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
