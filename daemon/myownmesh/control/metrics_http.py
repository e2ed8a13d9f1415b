"""Metrics over HTTP on loopback, for a monitor on this machine (`daemon.metrics_bind`). Off by default."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Final

import h11
import trio

from mesh_common.addresses import is_loopback
from myownmesh.control.openmetrics import CONTENT_TYPE
from myownmesh.mesh.errors import MeshError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

log = logging.getLogger(__name__)

PATH: Final = b"/metrics"
MOST_CONNECTIONS: Final = 8
"""A monitor has one; any program of this machine could open more."""
LIMIT_S: Final = 10.0
"""For one connection, which carries one request."""
_HEAD_BYTES: Final = 8192
_READ_BYTES: Final = 4096


async def serve(address: tuple[str, int], render: Callable[[], Awaitable[str]]) -> None:
    """Answer each `GET /metrics` with what `render` returns, until cancelled; with 503 where it raises `MeshError`.

    A port that is taken is one log line.
    """
    host, port = address
    try:
        listeners = await trio.open_tcp_listeners(port, host=host)
    except OSError as error:
        log.error("metrics are not served at %s port %d: %s", host, port, error.strerror or error)
        return
    log.info("metrics are served at http://%s:%d/metrics", host, listeners[0].socket.getsockname()[1])
    limiter = trio.CapacityLimiter(MOST_CONNECTIONS)
    await trio.serve_listeners(partial(_serve, limiter=limiter, render=render), listeners)


async def _serve(
    stream: trio.SocketStream, *, limiter: trio.CapacityLimiter, render: Callable[[], Awaitable[str]]
) -> None:
    async with stream:
        try:
            limiter.acquire_nowait()
        except trio.WouldBlock:
            return
        try:
            with trio.move_on_after(LIMIT_S):
                await _answer(stream, render)
        except (trio.BrokenResourceError, trio.ClosedResourceError, h11.ProtocolError):
            return  # it went away, or speaks no HTTP
        finally:
            limiter.release()


async def _answer(stream: trio.SocketStream, render: Callable[[], Awaitable[str]]) -> None:
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=_HEAD_BYTES)
    while (event := connection.next_event()) is h11.NEED_DATA:
        connection.receive_data(bytes(await stream.receive_some(_READ_BYTES)))
    if not isinstance(event, h11.Request):
        return
    status, body = _status(event), b""
    if status == 200:
        try:
            body = (await render()).encode()
        except MeshError as error:  # the settings cannot be read at the moment
            log.warning("a monitor is told nothing: %s", error)
            status = 503
    headers = [("Content-Type", CONTENT_TYPE), ("Content-Length", str(len(body))), ("Connection", "close")]
    sent = connection.send(h11.Response(status_code=status, headers=headers)) or b""
    if event.method != b"HEAD":
        sent += connection.send(h11.Data(data=body)) or b""
    await stream.send_all(sent)


def _status(request: h11.Request) -> int:
    """A page in a browser of this machine may ask in another host's name; it is told nothing."""
    host = next((value for name, value in request.headers if name == b"host"), b"").decode("latin-1")
    name = host if host.endswith("]") else host.rpartition(":")[0] or host
    if not is_loopback(name):
        return 403
    if request.target.partition(b"?")[0] != PATH:
        return 404
    return 200 if request.method in (b"GET", b"HEAD") else 405
