"""Requests that begin something in the app or its daemon: taken with 202, and handed to who does it (spec 08 §10.1)."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.requests import Request

from myownllm.errors import DoorError
from myownllm.ui import routes

BEGUN = {
    "/api/mesh/start": ("client", "start"),
    "/api/mesh/stop": ("client", "stop"),
    "/api/mesh/reconcile": ("client", "reconcile"),
    "/api/mesh/rediscover": ("client", "rediscover"),
    "/api/mesh/daemon/retry": ("door", "daemon_retry"),
    "/api/mesh/daemon/restart": ("door", "daemon_restart"),
    "/api/mesh/daemon/update": ("door", "update_to_pin"),
}


class Asked:
    """Notes who was asked for what; the door answers with what it noted, or refuses."""

    def __init__(self) -> None:
        self.noted: list[tuple[str, str]] = []
        self.refusal: DoorError | None = None

    def client(self, what: str) -> Any:
        async def work() -> None:
            await self._note("client", what)

        return work

    async def door(self, what: str, members: dict[str, Any]) -> dict[str, Any]:
        assert members == {}
        await self._note("door", what)
        return {"asked": what}

    async def _note(self, whom: str, what: str) -> None:
        self.noted.append((whom, what))
        if self.refusal is not None:
            raise self.refusal


async def answered(asked: Asked, path: str) -> tuple[int, Any]:
    client = SimpleNamespace(**{what: asked.client(what) for whom, what in BEGUN.values() if whom == "client"})
    app = SimpleNamespace(client=client, door=SimpleNamespace(ask=asked.door))
    desk: Any = SimpleNamespace(app=app, session_of=lambda *_: None)

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"{}", "more_body": False}

    headers = [(b"content-type", b"application/json")]
    [row] = [each for each in routes.all_of(desk) if each.path == path]
    answer = await row.endpoint(Request({"type": "http", "method": "POST", "path": path, "headers": headers}, receive))
    return answer.status_code, json.loads(answer.body)


@pytest.mark.parametrize("path", BEGUN)
async def test_what_takes_its_time_is_taken_with_202_and_asked_once_of_who_does_it(path: str) -> None:
    asked = Asked()
    status, told = await answered(asked, path)
    assert (status, asked.noted) == (202, [BEGUN[path]])
    whom, what = BEGUN[path]
    assert told == ({"asked": what} if whom == "door" else None)


@pytest.mark.parametrize("path", BEGUN)
async def test_what_cannot_be_begun_is_no_202(path: str) -> None:
    asked = Asked()
    asked.refusal = DoorError("busy", "one is under way")
    status, told = await answered(asked, path)
    assert (status, told["error"]["kind"], told["error"]["message"]) == (429, "busy", "one is under way")
