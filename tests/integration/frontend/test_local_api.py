"""The local API on a real socket against whatever a program may send: bounded, and others are served all the same."""

from __future__ import annotations

import json
import resource
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.testing

from myownllm.api import ApiServer, ApiSettings
from myownllm.api.answers import model_entry
from myownllm.inference.picks import HostError
from myownllm.runtimes.chat import Delta, Finished
from support.ports import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from myownllm.api.answers import ModelEntry
    from myownllm.runtimes.chat import ChatRequest, Piece

ASK = json.dumps({"model": "m", "messages": [{"role": "user", "content": "hi"}]}).encode()


class Backend:
    """Says yes to everything; `wait` holds an answer back, `ended` counts those that were cut off."""

    def __init__(self) -> None:
        self.hold = False
        self.asked = trio.Event()
        self.ended = trio.Event()
        self.words = [Delta("yes")]

    def models(self) -> list[ModelEntry]:
        return [model_entry("m", "this device")]

    async def ask(self, model: str, request: ChatRequest) -> AsyncGenerator[list[Piece], None]:
        self.asked.set()
        if model != "m":
            raise HostError("device_away", f"That device is offline: {model}")
        try:
            for word in self.words:
                yield [word]
            if self.hold:
                await trio.sleep_forever()
            yield [Finished()]
        finally:
            self.ended.set()

    async def embeddings(self, model: str, members: dict[str, Any]) -> dict[str, Any]:
        return {"model": model, **members}

    async def preload(self, model: str) -> bool:
        return True

    def status(self) -> dict[str, Any]:
        return {"up": True}


class Api:
    """A running API and the notes it made."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.notes: list[tuple[str, str]] = []
        self.server = ApiServer(backend, lambda level, text: self.notes.append((level, text)))
        self.port = 0

    async def open(self, settings: ApiSettings) -> None:
        self.server.use(settings)
        with trio.fail_after(5):
            state = await self.server.watch.until(lambda s: bool(s.url))
        self.port = int(state.url.rpartition(":")[2].partition("/")[0])

    async def connect(self) -> trio.SocketStream:
        return await trio.open_tcp_stream("127.0.0.1", self.port)

    async def send(self, *parts: bytes, closes: bool = True) -> bytes:
        """What comes back for these bytes, until the server closes."""
        async with await self.connect() as stream:
            for part in parts:
                try:
                    await stream.send_all(part)
                except trio.BrokenResourceError:
                    break
            return await read_all(stream) if closes else await read_some(stream)

    async def healthy(self) -> None:
        """Others are served."""
        assert b" 200 " in await self.send(get("/healthz"))


async def read_all(stream: trio.SocketStream) -> bytes:
    said = b""
    with trio.fail_after(15):
        try:
            while data := await stream.receive_some(65536):
                said += data
        except trio.BrokenResourceError:
            pass
    return said


async def read_some(stream: trio.SocketStream) -> bytes:
    with trio.fail_after(5):
        return bytes(await stream.receive_some(65536))


def get(path: str, *headers: str, close: bool = True) -> bytes:
    lines = [f"GET {path} HTTP/1.1", "Host: 127.0.0.1", *headers, *(["Connection: close"] if close else [])]
    return "\r\n".join([*lines, "", ""]).encode()


def post(path: str, body: bytes, *headers: str, close: bool = True) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: localhost:1", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, *(["Connection: close"] if close else []), "", ""]).encode() + body


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def code(answer: bytes) -> str:
    return str(json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["code"])


@asynccontextmanager
async def running(settings: ApiSettings | None = None) -> AsyncIterator[Api]:
    api = Api(Backend())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(api.server.run)
        await trio.testing.wait_all_tasks_blocked()
        await api.open(settings or ApiSettings(port=0))
        yield api
        nursery.cancel_scope.cancel()


async def test_every_path_answers_in_openais_words() -> None:
    async with running() as api:
        listed = json.loads((await api.send(get("/v1/models"))).partition(b"\r\n\r\n")[2])
        assert [m["id"] for m in listed["data"]] == ["m"]
        whole = json.loads((await api.send(post("/v1/chat/completions", ASK))).partition(b"\r\n\r\n")[2])
        assert whole["choices"][0]["message"]["content"] == "yes"
        streamed = await api.send(post("/v1/chat/completions", ASK[:-1] + b', "stream": true}'))
        assert streamed.count(b"data: ") == 4
        assert b"data: [DONE]" in streamed
        prompt = b'{"prompt": "x", "model": "m", "stream": true}'
        assert b'"text":"yes"' in await api.send(post("/v1/completions", prompt))
        assert b'"input"' in await api.send(post("/v1/embeddings", b'{"model": "m", "input": "x"}'))
        assert b'"preloaded":true' in await api.send(post("/v1/myownllm/preload", b'{"model": "m"}'))
        assert b'"running":0' in await api.send(get("/v1/myownllm/status"))
        away = await api.send(post("/v1/chat/completions", ASK.replace(b'"m"', b'"m@Pi"')))
        assert (status(away), code(away)) == (503, "device_away")
        assert b"x-should-retry: false" in away.lower()
        assert (status(await api.send(get("/v1/nothing"))), status(await api.send(get("/v1/completions")))) == (
            404,
            405,
        )


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (b"\x00\x01\x02 garbage\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 200_000 + b"\r\n\r\n", 431),
        (post("/v1/chat/completions", b"{}").replace(b"Content-Length: 2", b"Content-Length: 99999999999999"), 413),
        (post("/v1/chat/completions", b"{}").replace(b"Content-Length: 2", b"Content-Length: -2"), 400),
        (post("/v1/chat/completions", b"[" * 100_000), 400),
        (post("/v1/chat/completions", b"\xff\xfe"), 400),
        (get("/healthz", "Origin: http://evil.example"), 403),
        (get("/healthz").replace(b"127.0.0.1", b"evil.example"), 403),
        (get("/healthz").replace(b"HTTP/1.1", b"HTTP/1.0"), 200),
        (get("/healthz").replace(b"GET", b"HEAD"), 405),
        (get("/healthz").replace(b"GET", b"CONNECT"), 405),
        (get("/healthz", "Upgrade: websocket", "Connection: Upgrade"), 200),
        (get("/healthz", "Expect: 100-continue"), 100),
    ],
)
async def test_bad_requests_are_answered_and_harm_nobody(sent: bytes, expected: int) -> None:
    async with running() as api:
        assert status(await api.send(sent)) == expected
        await api.healthy()


async def test_a_hundred_megabytes_cost_no_memory() -> None:
    async with running() as api:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        megabyte = b"x" * 2**20
        head = post("/v1/chat/completions", b"").replace(b"Content-Length: 0", b"Content-Length: 104857600")
        answer = await api.send(head, *[megabyte] * 100)
        assert (status(answer), code(answer)) == (413, "request_too_large")
        chunked = head.replace(b"Content-Length: 104857600", b"Transfer-Encoding: chunked")
        answer = await api.send(chunked, *[b"100000\r\n" + megabyte + b"\r\n"] * 100)
        assert status(answer) == 413
        grown_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        assert grown_kb < 40 * 1024


async def test_requests_that_come_together_are_answered_in_order() -> None:
    async with running() as api:
        said = await api.send(
            get("/healthz", close=False) + post("/v1/chat/completions", ASK, close=False) + get("/v1/models")
        )
        assert said.count(b"HTTP/1.1 200 ") == 3
        assert said.index(b'"status"') < said.index(b'"chat.completion"') < said.index(b'"list"')


async def test_slow_writers_and_idle_ones_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HEAD_S", "BODY_PAUSE_S", "IDLE_S"):
        monkeypatch.setattr(f"myownllm.api.connection.{name}", 0.3)
    async with running() as api:
        assert await api.send(b"GET /heal") == b"", "half a head"
        assert status(await api.send(post("/v1/chat/completions", ASK)[:-5])) == 408
        assert await api.send(b"") == b"", "nothing at all"
        async with await api.connect() as stream:
            await stream.send_all(get("/healthz", close=False))
            assert b" 200 " in await read_some(stream)
            assert await read_all(stream) == b"", "a connection that is used no more"
        await api.healthy()


async def test_a_client_that_takes_nothing_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("myownllm.api.connection.WRITE_S", 0.3)
    async with running() as api:
        api.backend.words = [Delta("x" * 100_000)] * 200
        async with await api.connect() as stream:
            await stream.send_all(post("/v1/chat/completions", ASK[:-1] + b', "stream": true}'))
            with trio.fail_after(10):
                await api.backend.ended.wait()
        await api.healthy()


async def test_a_client_that_leaves_ends_its_answer() -> None:
    async with running() as api:
        api.backend.hold = True
        stream = await api.connect()
        await stream.send_all(post("/v1/chat/completions", ASK))
        await api.backend.asked.wait()
        await stream.aclose()
        with trio.fail_after(1):
            await api.backend.ended.wait()


async def test_many_connections_and_questions_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("myownllm.api.talks.CONNECTIONS_MAX", 4)
    monkeypatch.setattr("myownllm.api.routes.ANSWERS_MAX", 1)
    async with running() as api, trio.open_nursery() as nursery:
        api.backend.hold = True
        nursery.start_soon(api.send, post("/v1/chat/completions", ASK))
        await api.backend.asked.wait()
        busy = await api.send(post("/v1/chat/completions", ASK))
        assert (status(busy), code(busy)) == (429, "busy")
        idle = [await api.connect() for _ in range(3)]
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert await api.send(b"") == b"", "one too many is closed"
        for stream in idle:
            await stream.aclose()
        await trio.testing.wait_all_tasks_blocked(0.05)
        await api.healthy()
        nursery.cancel_scope.cancel()


async def test_token_and_origins_follow_the_settings_while_it_runs() -> None:
    async with running() as api:
        await api.open(ApiSettings(port=0, bearer_token="key", cors_allow_all=True))
        refused = await api.send(get("/v1/models"))
        assert (status(refused), code(refused)) == (401, "invalid_api_key")
        page = ("Origin: http://page.example", "Authorization: Bearer key")
        answer = await api.send(get("/v1/models", *page))
        assert status(answer) == 200
        assert b"access-control-allow-origin: *" in answer.lower()
        asked = await api.send(get("/v1/models", page[0]).replace(b"GET", b"OPTIONS"))
        assert status(asked) == 204
        assert b"access-control-allow-headers" in asked.lower()


async def test_a_port_in_use_is_told_and_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """FE-12.51"""
    monkeypatch.setattr("myownllm.api.server.RETRY_S", 0.2)
    port = free_port()
    async with running() as api:
        with socket.create_server(("127.0.0.1", port)):
            api.server.use(ApiSettings(port=port))
            with trio.fail_after(5):
                state = await api.server.watch.until(lambda s: bool(s.reason))
            assert "another program has this port" in state.reason
            await trio.sleep(0.5)
        with trio.fail_after(5):
            await api.server.watch.until(lambda s: bool(s.url))
        assert [level for level, text in api.notes if "another program" in text] == ["warn"], "told once"
        api.port = port
        await api.healthy()
        api.server.use(ApiSettings(enabled=False))
        with trio.fail_after(5):
            await api.server.watch.until(lambda s: not s.url)
        with pytest.raises(OSError, match="all attempts"):
            await api.connect()
        api.server.use(ApiSettings(port=port, host="x" * 70))
        with trio.fail_after(5):
            await api.server.watch.until(lambda s: "cannot listen" in s.reason)
        api.server.use(ApiSettings(port=port, problem="no token"))
        with trio.fail_after(5):
            await api.server.watch.until(lambda s: s.reason == "no token")
