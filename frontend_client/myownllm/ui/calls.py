"""From a request to what the app does: who asks is checked, the body is read and understood, failures become answers.

Every route is one row: method, path, the class of its body, and a function of this module's `Call`.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Final

import msgspec
import trio
from starlette.requests import ClientDisconnect
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from mesh_common.groups import unwrapped
from mesh_common.values import Value
from myownllm.errors import FAILURES
from myownllm.ui import guard
from myownllm.ui.failures import UiError, ui_error

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable

    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

    from mesh_common.client.errors import ControlError
    from myownllm.app import App
    from myownllm.errors import AppError
    from myownllm.ui import words
    from myownllm.ui.sessions import Keys, Session, Sessions

    Answer = Response | dict[str, Any] | list[Any] | None

BODY_MAX_BYTES: Final = 2**20
OPEN_BODY_MAX_BYTES: Final = 4096
"""Of somebody who has shown no session."""
REQUEST_S: Final = 30.0
"""For a body to come in, and at most so long without a byte of a file that is uploaded."""
WORK_S: Final = 90.0
"""For what a request asks for; a move of a conversation is the slowest."""
SECRET_HEADER: Final = "x-session-secret"
COOKIE_S: Final = 400 * 86_400
"""What browsers allow; the session itself ends after thirty idle days."""
NO_SESSION_TEXT: Final = "no session: `myownllm open` makes a new link"


class Desk(Value, frozen=True):
    """What every request is answered from."""

    app: App
    place: guard.Place
    sessions: Sessions

    def session_of(self, scope: Scope, secret: str) -> Session:
        """The session that a request belongs to. Raises UiError."""
        session = self.sessions.find(guard.cookie_of(self.place, scope["headers"]), secret)
        if session is None:
            raise UiError(401, "no_session", self.no_session)
        visit = scope["state"]["visit"]
        visit.is_known, visit.session = True, session
        return session

    @property
    def no_session(self) -> str:
        """What helps whoever has none."""
        return NO_SESSION_TEXT

    async def enter(self, keys: Keys) -> Response:
        """A new session: half of it is a cookie that no script reads, half is for the page to keep."""
        await trio.to_thread.run_sync(self.sessions.save)
        answer = json_response({"secret": keys.secret})
        answer.set_cookie(self.place.cookie, keys.cookie, max_age=COOKIE_S, httponly=True, samesite="strict", path="/")
        return answer


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
                desk.session_of(http.scope, http.headers.get(SECRET_HEADER, ""))
            given: Any = None
            if body is not None:
                given = await _read(http, body, OPEN_BODY_MAX_BYTES if is_open else BODY_MAX_BYTES)
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


async def _read(http: Request, cls: type[words.Request], max_bytes: int) -> words.Request:
    kind = http.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise UiError(415, "validation", "the body must be application/json")
    data = bytearray()
    with trio.move_on_after(REQUEST_S) as limit:
        async with _chunks(http) as chunks:
            async for chunk in chunks:
                data += chunk
                if len(data) > max_bytes:
                    raise UiError(413, "too_large", f"more than {max_bytes} bytes")
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


class LinesResponse(StreamingResponse):
    """Lines of JSON, as they come. Whatever they come from is closed with the answer, not when somebody collects it."""

    def __init__(self, lines: AsyncGenerator[bytes, None]) -> None:
        super().__init__(lines, media_type="application/x-ndjson")
        self._lines = lines

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with contextlib.aclosing(self._lines):
            await super().__call__(scope, receive, send)


def json_response(value: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status, media_type="application/json")


def failure(error: AppError | ControlError) -> Response:
    """What went wrong, as the page reads it (spec 08 §10.1)."""
    told = ui_error(error)
    return json_response(told.body, told.status)
