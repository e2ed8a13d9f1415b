"""From a request to what the app does: who asks is checked, the body is read and understood, failures become answers.

Every route is one row: method, path, the class of its body, and a function of this module's `Call`.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Final

import msgspec
import trio
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import Route

from mesh_common.groups import unwrapped
from mesh_common.values import Value
from myownllm.errors import FAILURES
from myownllm.ui import guard
from myownllm.ui.failures import UiError, error_body, ui_error

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable

    from starlette.requests import Request
    from starlette.types import Scope

    from mesh_common.client.errors import ControlError
    from myownllm.app import App
    from myownllm.errors import AppError
    from myownllm.ui import words
    from myownllm.ui.publisher import Publisher
    from myownllm.ui.sessions import Session, Sessions

    Answer = Response | dict[str, Any] | list[Any] | None

BODY_MAX_BYTES: Final = 2**20
REQUEST_S: Final = 30.0
"""For a body to come in, and at most so long without a byte of a file that is uploaded."""
WORK_S: Final = 90.0
"""For what a request asks for; a move of a conversation is the slowest."""
SECRET_HEADER: Final = "x-session-secret"
NO_SESSION_TEXT: Final = "no session: `myownllm open` makes a new link"


class Desk(Value, frozen=True):
    """What every request is answered from."""

    app: App
    place: guard.Place
    sessions: Sessions
    publisher: Publisher
    nursery: trio.Nursery
    """for what goes on when a request has been answered"""


class Call(Value, frozen=True):
    """One request of a session."""

    desk: Desk
    http: Request

    @property
    def app(self) -> App:
        return self.desk.app

    def part(self, name: str) -> str:
        """A part of the path. Raises UiError for one that names nothing."""
        value = str(self.http.path_params[name])
        if len(value) > 200:
            raise UiError(404, "not_found", "nothing is called that")
        return value


def route(
    desk: Desk,
    method: str,
    path: str,
    body: type[words.Request] | None,
    work: Callable[[Call, Any], Awaitable[Answer]],
    *,
    status: int = 200,
    is_open: bool = False,
) -> Route:
    """One row. `is_open`: it needs no session. Without a class the function reads the body itself, if there is one."""

    async def endpoint(http: Request) -> Response:
        try:
            if not is_open:
                session_of(desk, http.scope, http.headers.get(SECRET_HEADER, ""))
            given: Any = None if body is None else await _read(http, body)
            with trio.move_on_after(WORK_S) as limit:
                answer = await _expected(work(Call(desk, http), given))
                return answer if isinstance(answer, Response) else json_response(answer, status)
            assert limit.cancelled_caught
            raise UiError(504, "timeout", f"not done within {WORK_S:.0f} seconds")
        except FAILURES as error:
            return failure(error)

    return Route(path, endpoint, methods=[method])


async def _expected(work: Awaitable[Answer]) -> Answer:
    try:
        return await work
    except BaseExceptionGroup as group:
        if isinstance(cause := unwrapped(group, FAILURES), FAILURES):
            raise cause from None
        raise
    except OSError as error:  # a disk that is full, a folder that is not ours
        raise UiError(503, "disk", f"{error.filename or 'a file'}: {error.strerror or error}") from None


def session_of(desk: Desk, scope: Scope, secret: str) -> Session:
    """The session that a request belongs to. Raises UiError."""
    session = desk.sessions.find(guard.cookie_of(desk.place, scope["headers"]), secret)
    if session is None:
        raise UiError(401, "no_session", NO_SESSION_TEXT)
    scope["state"]["visit"].is_known = True
    return session


async def _read(http: Request, cls: type[words.Request]) -> words.Request:
    kind = http.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise UiError(415, "validation", "the body must be application/json")
    data = bytearray()
    with trio.move_on_after(REQUEST_S) as limit:
        async with _chunks(http) as chunks:
            async for chunk in chunks:
                data += chunk
                if len(data) > BODY_MAX_BYTES:
                    raise UiError(413, "too_large", f"more than {BODY_MAX_BYTES} bytes")
    if limit.cancelled_caught:
        raise UiError(408, "timeout", f"the request was not whole within {REQUEST_S:.0f} seconds")
    try:
        return msgspec.json.decode(data or b"{}", type=cls)
    except (msgspec.DecodeError, RecursionError) as error:  # ValidationError is one
        raise UiError(400, "validation", str(error)) from None
    except UnicodeDecodeError:
        raise UiError(400, "validation", "the body is no UTF-8") from None


@contextlib.asynccontextmanager
async def _chunks(http: Request) -> AsyncIterator[AsyncGenerator[bytes, None]]:
    """The body, piece by piece. Raises UiError when the browser leaves before it is whole."""
    stream = http.stream()
    try:
        yield stream
    except ClientDisconnect:
        raise UiError(400, "validation", "the request ended before it was whole") from None
    finally:
        await stream.aclose()


async def body_chunks(http: Request, take: Callable[[bytes], Awaitable[object]]) -> None:
    """A long body, as long as bytes move. Raises UiError when they do not any more."""
    async with _chunks(http) as chunks:
        while True:
            with trio.move_on_after(REQUEST_S) as limit:
                chunk = await anext(chunks, None)
            if limit.cancelled_caught:
                raise UiError(408, "timeout", f"no byte came for {REQUEST_S:.0f} seconds")
            if chunk is None:
                return
            await take(chunk)


def json_response(value: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status, media_type="application/json")


def failure(error: AppError | ControlError) -> Response:
    """What went wrong, as the page reads it (spec 08 §10.1)."""
    told = ui_error(error)
    return json_response(error_body(told), told.status)
