"""The paths of the local API: each reads a request, asks the backend, and writes OpenAI's answer (spec 08 FE-10.5)."""

from __future__ import annotations

import secrets
import time
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final

import msgspec

from mesh_common.client.errors import ControlError
from myownllm.api import requests
from myownllm.api.answers import ChatAnswer
from myownllm.api.failures import ApiError, api_error, error_body
from myownllm.api.guard import check, cors_headers
from myownllm.errors import AppError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from myownllm.api.answers import Completion
    from myownllm.api.backend import Backend
    from myownllm.api.connection import HttpConnection
    from myownllm.api.guard import Head
    from myownllm.api.settings import ApiSettings
    from myownllm.coerce import Json
    from myownllm.runtimes.chat import Piece

    Route = Callable[["Routes", HttpConnection, Json], Awaitable[None]]

ANSWERS_MAX: Final = 16
"""Questions under way at once."""
_JSON: Final = ("Content-Type", "application/json")
_EVENTS: Final = (("Content-Type", "text/event-stream"), ("Cache-Control", "no-cache"))
_NO_RETRY: Final = ("X-Should-Retry", "false")
"""The official clients ask again by themselves otherwise, and a person waits for an error that is known."""


class Routes:
    """Answers one request after another; holds what they share."""

    def __init__(self, backend: Backend, settings: ApiSettings) -> None:
        self._backend, self._settings = backend, settings
        self._running = 0

    async def serve(self, connection: HttpConnection, head: Head) -> None:
        """Answer a request. Every expected failure is an answer; raises ClientGone."""
        try:
            check(head, self._settings, connection.local_address)
            if head.method == "OPTIONS":
                await connection.body()
                await connection.answer(204, cors_headers(self._settings), b"")
                return
            route = self._route(head)
            data = await connection.body()
            body = _decode(data) if head.method == "POST" else None
            await connection.while_connected(lambda: self._run(route, connection, body))
        except ApiError as error:
            await self.refuse(connection, error)

    async def refuse(self, connection: HttpConnection, error: ApiError) -> None:
        """Tell the reason: as an answer of its own, or as the last event of one that has begun."""
        data = msgspec.json.encode(error_body(error))
        if not connection.begun:
            await connection.answer(error.status, [_JSON, _NO_RETRY, *cors_headers(self._settings)], data)
        elif not connection.answered:
            await connection.more(b"data: " + data + b"\n\n", end=True)

    def _route(self, head: Head) -> Route:
        known = _ROUTES.get(head.path.rstrip("/") or "/")
        if known is None:
            raise ApiError(404, "not_found", f"this API has no path {head.path[:100]}")
        if head.method not in known:
            raise ApiError(405, "method_not_allowed", f"{head.path} takes {', '.join(known)}")
        return known[head.method]

    async def _run(self, route: Route, connection: HttpConnection, body: Json) -> None:
        try:
            await route(self, connection, body)
        except (AppError, ControlError) as error:
            await self.refuse(connection, api_error(error))

    async def _say(self, connection: HttpConnection, value: Json) -> None:
        await connection.answer(200, [_JSON, *cors_headers(self._settings)], msgspec.json.encode(value))

    # ── what is there ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def health(self, connection: HttpConnection, _: Json) -> None:
        await self._say(connection, {"status": "ok"})

    async def models(self, connection: HttpConnection, _: Json) -> None:
        await self._say(connection, {"object": "list", "data": list(self._backend.models())})

    async def status(self, connection: HttpConnection, _: Json) -> None:
        await self._say(connection, {**self._backend.status(), "running": self._running})

    async def preload(self, connection: HttpConnection, body: Json) -> None:
        model = requests.read_model(body)
        loaded = await self._backend.preload(model)
        await self._say(connection, {"model": model, "preloaded": loaded})

    async def embeddings(self, connection: HttpConnection, body: Json) -> None:
        await self._say(connection, await self._backend.embeddings(*requests.read_embedding(body)))

    # ── answers ───────────────────────────────────────────────────────────────────────────────────────────────────────

    async def chat(self, connection: HttpConnection, body: Json) -> None:
        asked = requests.read_chat(body)
        answer = _answer("chatcmpl", asked.model)
        async with aclosing(self._pieces(asked)) as pieces:
            if not asked.stream:
                async for some in pieces:
                    answer.gather(some)
                await self._say(connection, answer.whole())
                return
            first = True
            async for some in pieces:
                chunks = answer.chunks(some)
                await self._events(connection, [answer.first(), *chunks] if first else chunks, begin=first)
                first = False
            await self._events(connection, answer.last(usage=asked.usage), begin=first, end=True)

    async def completion(self, connection: HttpConnection, body: Json) -> None:
        asked = requests.read_completion(body)
        answer = _answer("cmpl", asked.model)
        async with aclosing(self._pieces(asked)) as pieces:
            first = True
            async for some in pieces:
                chunks = answer.text_chunks(some)
                if asked.stream:
                    await self._events(connection, chunks, begin=first)
                    first = False
            if asked.stream:
                await self._events(connection, [answer.last_text()], begin=first, end=True)
            else:
                await self._say(connection, answer.whole_text())

    async def _pieces(self, asked: requests.Asked) -> AsyncGenerator[list[Piece], None]:
        if self._running >= ANSWERS_MAX:
            raise ApiError(429, "busy", f"{ANSWERS_MAX} requests are under way; try again when one has ended")
        self._running += 1
        try:
            async with aclosing(self._backend.ask(asked.model, asked.chat)) as pieces:
                async for some in pieces:
                    yield some
        finally:
            self._running -= 1

    async def _events(
        self, connection: HttpConnection, values: list[Completion], *, begin: bool = False, end: bool = False
    ) -> None:
        """Send values as server-sent events: with the first ones goes the head, with the last ones the end."""
        if begin:
            connection.begin(200, [*_EVENTS, *cors_headers(self._settings)])
        data = b"".join(b"data: " + msgspec.json.encode(value) + b"\n\n" for value in values)
        await connection.more(data + (b"data: [DONE]\n\n" if end else b""), end=end)


_ROUTES: Final[dict[str, dict[str, Route]]] = {
    "/healthz": {"GET": Routes.health},
    "/v1/models": {"GET": Routes.models},
    "/v1/chat/completions": {"POST": Routes.chat},
    "/v1/completions": {"POST": Routes.completion},
    "/v1/embeddings": {"POST": Routes.embeddings},
    "/v1/myownllm/preload": {"POST": Routes.preload},
    "/v1/myownllm/status": {"GET": Routes.status},
}


def _answer(prefix: str, model: str) -> ChatAnswer:
    return ChatAnswer(f"{prefix}-{secrets.token_hex(12)}", model or "default", int(time.time()))


def _decode(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise requests.invalid("the body is not JSON") from None
