"""The door of a running app: what is asked there, and what strangers get."""

from __future__ import annotations

import json
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trio

from myownllm.door import Door

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@asynccontextmanager
async def kept(follow: Any) -> AsyncIterator[Path]:
    with tempfile.TemporaryDirectory(prefix="fe-") as folder:
        path = Path(folder) / "app.sock"
        door = Door(path)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(door.keep, follow)
            yield path
            nursery.cancel_scope.cancel()
        door.close()
        assert not path.exists()


async def knock(path: Path, request: bytes) -> Any:
    async with await trio.open_unix_socket(str(path)) as stream:
        await stream.send_all(request)
        answer = b""
        async for data in stream:
            answer += data
    return json.loads(answer) if answer else None


async def answer_home() -> dict[str, Any]:
    return {"network": "home"}


async def test_follow_is_answered_and_anything_else_is_not_known() -> None:
    async with kept(answer_home) as path:
        assert await knock(path, b'{"op":"follow"}\n') == {"ok": True, "data": {"network": "home"}}
        refused = await knock(path, b'{"op":"fly"}\n')
        assert refused == {"ok": False, "error": "parse: unknown variant `fly`, expected `follow`"}


@pytest.mark.parametrize("request_", [b"", b"GET / HTTP/1.1\r\n\r\n", b"[]\n", b"x" * 5000, b'{"op":"follow"}'])
async def test_strangers_get_nothing_and_break_nothing(request_: bytes) -> None:
    async with kept(answer_home) as path:
        async with await trio.open_unix_socket(str(path)) as stream:
            await stream.send_all(request_)
            await stream.send_eof()
            with trio.fail_after(5):
                assert await stream.receive_some() == b""
        assert await knock(path, b'{"op":"follow"}\n')


async def test_who_leaves_before_the_answer_costs_nothing() -> None:
    go = trio.Event()

    async def slow() -> dict[str, Any]:
        await go.wait()
        return {}

    async with kept(slow) as path:
        async with await trio.open_unix_socket(str(path)) as stream:
            await stream.send_all(b'{"op":"follow"}\n')
        go.set()
        assert await knock(path, b'{"op":"follow"}\n') == {"ok": True, "data": {}}
