"""What every site here has: its files, refusals with a sentence, and the guard in front of everything."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import trio
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route

from myownllm.ui import guard
from myownllm.ui.calls import failure
from myownllm.ui.failures import UiError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from starlette.requests import Request
    from starlette.routing import BaseRoute

    Page = dict[str, tuple[bytes, str]]
    """by path: content and kind"""

REST_S: Final = 1.0
"""For the rest of a request that is refused."""
REST_MAX_BYTES: Final = 4 * 2**20
_KINDS: Final = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}


def read_files(folder: Path) -> Page:
    """The files that a browser gets, by path: nothing else is reachable. Blocking."""
    files = {
        f"/{path.relative_to(folder).as_posix()}": (path.read_bytes(), _KINDS[path.suffix])
        for path in sorted(folder.rglob("*"))
        if path.suffix in _KINDS
    }
    if "/index.html" in files:
        files["/"] = files.pop("/index.html")
    return files


def make_entrance(
    page: Page,
    routes: Iterable[BaseRoute],
    place_of: Callable[[Any], guard.Place],
    answer_headers: tuple[tuple[bytes, bytes], ...] = guard.ANSWER_HEADERS,
) -> Any:
    """The ASGI application. `place_of(scope)` is where the request must have meant to come."""

    async def file(request: Request) -> Response:
        data, kind = page[request.url.path]
        return Response(data, media_type=kind)

    async def refused(_: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        kind = "not_found" if error.status_code == 404 else "validation"
        text = "there is nothing here" if kind == "not_found" else f"{error.detail}: this is not how it is asked"
        return failure(UiError(error.status_code, kind, text))

    inner = Starlette(
        routes=[*(Route(path, file, methods=["GET"]) for path in page), *routes],
        exception_handlers={HTTPException: refused},
    )
    inner.router.redirect_slashes = False
    return _guarded(place_of, inner, answer_headers)


class _Body:
    """The body of a request, as far as somebody has taken it."""

    def __init__(self, receive: Any) -> None:
        self._receive = receive
        self._is_whole = False

    async def receive(self) -> Any:
        message = await self._receive()
        if message["type"] == "http.disconnect" or not message.get("more_body", False):
            self._is_whole = True
        return message

    async def rest(self) -> None:
        """Take what is left: a connection that is closed over unread bytes is reset, and its answer lost."""
        taken = 0
        with trio.move_on_after(REST_S):
            while not self._is_whole and taken < REST_MAX_BYTES:
                taken += len((await self.receive()).get("body", b""))


def _guarded(
    place_of: Callable[[Any], guard.Place], inner: Any, answer_headers: tuple[tuple[bytes, bytes], ...]
) -> Any:
    """The guard in front of everything, and on every answer what it forbids."""

    async def site(scope: Any, receive: Any, send: Any) -> None:
        is_socket = scope["type"] == "websocket"
        start = "websocket.http.response.start" if is_socket else "http.response.start"
        body = _Body(receive)

        async def tell(message: Any) -> None:
            if message["type"] in (start, "websocket.accept"):
                message = {**message, "headers": [*message.get("headers", ()), *answer_headers]}
                if not is_socket and message["status"] >= 400:
                    await body.rest()
            await send(message)

        try:
            guard.check(place_of(scope), scope.get("method", "GET"), scope["headers"], is_socket=is_socket)
        except UiError as error:
            answer = failure(error)
            if is_socket:
                await tell({"type": start, "status": answer.status_code, "headers": answer.raw_headers})
                await tell({"type": "websocket.http.response.body", "body": answer.body})
            else:
                await answer(scope, body.receive, tell)
            return
        await inner(scope, receive if is_socket else body.receive, tell)

    return site
