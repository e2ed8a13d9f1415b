"""How long the screen waits for whom, and what a tab that is far behind is told (spec 08 §10.1), in virtual time."""

from __future__ import annotations

import json
from collections import deque
from contextlib import contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import trio
from msgspec.structs import replace
from starlette.requests import Request

from myownllm.catalog.model import Catalog
from myownllm.client import ClientState
from myownllm.remote.state import RemoteState
from myownllm.supervisor import SupervisorState
from myownllm.ui import words
from myownllm.ui.calls import REQUEST_S, body_chunks, route
from myownllm.ui.failures import UiError
from myownllm.ui.guard import Place
from myownllm.ui.publisher import PATCHES_KEPT, Message, Publisher
from myownllm.ui.socket import ACK_S, ASLEEP, HELLO_S, NO_SESSION, serve_tab
from myownllm.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def request(*parts: bytes, every_s: float = 0.0) -> Request:
    """A body of which these parts come, one after the other, and then nothing more."""
    left = list(parts)

    async def receive() -> dict[str, Any]:
        if not left:
            await trio.sleep_forever()
        await trio.sleep(every_s)
        return {"type": "http.request", "body": left.pop(0), "more_body": True}

    headers = [(b"content-type", b"application/json")]
    return Request({"type": "http", "method": "POST", "path": "/", "headers": headers}, receive)


async def never(*_: object) -> None:
    raise AssertionError("nothing is done for half a request")


async def test_a_request_that_never_comes_whole_is_given_up(autojump_clock: Any) -> None:
    desk: Any = SimpleNamespace()
    asked = route(desk, "POST", "/x", words.Nothing, never, is_open=True)
    began = trio.current_time()
    answer = await asked.endpoint(request(b"{"))
    assert (answer.status_code, trio.current_time() - began) == (408, REQUEST_S)
    assert json.loads(answer.body)["error"]["kind"] == "timeout"


async def test_an_upload_may_take_long_as_long_as_bytes_move(autojump_clock: Any) -> None:
    taken: list[bytes] = []

    async def take(chunk: bytes) -> None:
        await trio.lowlevel.checkpoint()
        taken.append(chunk)

    began = trio.current_time()
    with pytest.raises(UiError) as refused:
        await body_chunks(request(*[b"x"] * 9, every_s=REQUEST_S - 1), take)
    assert refused.value.status == 408
    assert taken == [b"x"] * 9
    assert trio.current_time() - began == 9 * (REQUEST_S - 1) + REQUEST_S


class Tab:
    """A browser's end of a socket that says these words, and then nothing."""

    def __init__(self, *said: str) -> None:
        self.scope: dict[str, Any] = {"headers": []}
        self.left, self.heard, self.code = list(said), list[str](), 0

    async def accept(self) -> None:
        await trio.lowlevel.checkpoint()

    async def receive_text(self) -> str:
        if not self.left:
            await trio.sleep_forever()
        return self.left.pop(0)

    async def send_text(self, text: str) -> None:
        await trio.lowlevel.checkpoint()
        self.heard.append(text)

    async def close(self, code: int) -> None:
        await trio.lowlevel.checkpoint()
        self.code = code


@contextmanager
def viewer() -> Iterator[None]:
    yield


def desk_with(publisher: Any) -> Any:
    sessions = SimpleNamespace(tabs=0, has_cookie=lambda _: True)
    session = SimpleNamespace(ended=trio.Event())
    return SimpleNamespace(place=Place(1), sessions=sessions, session_of=lambda *_: session, publisher=publisher)


async def test_a_socket_that_does_not_say_who_it_is_is_closed(autojump_clock: Any) -> None:
    desk, tab = desk_with(None), Tab()
    began = trio.current_time()
    await serve_tab(desk, tab)  # type: ignore[arg-type]  # a browser's end
    assert (tab.code, trio.current_time() - began, desk.sessions.tabs) == (NO_SESSION, HELLO_S, 0)


async def test_a_tab_that_takes_nothing_is_put_to_sleep_after_one_message(autojump_clock: Any) -> None:
    async def first() -> Message:
        await trio.lowlevel.checkpoint()
        return Message(1, "whole")

    async def after(rev: int) -> Message:
        await trio.lowlevel.checkpoint()
        return Message(rev + 1, "more")

    desk = desk_with(SimpleNamespace(viewer=viewer, first=first, after=after))
    tab = Tab('{"secret": "x"}')
    began = trio.current_time()
    await serve_tab(desk, tab)  # type: ignore[arg-type]  # a browser's end
    assert (tab.code, trio.current_time() - began, desk.sessions.tabs) == (ASLEEP, ACK_S, 0)
    assert tab.heard == ["whole"]


def app_that_sees(folder: Path) -> Any:
    async def load() -> Catalog:
        await trio.lowlevel.checkpoint()
        return Catalog()

    client = SimpleNamespace(state=ClientState(), diag=deque(maxlen=9), on_state=[], on_diag=[], on_name=[])
    files = SimpleNamespace(receiver=SimpleNamespace(settings=SimpleNamespace(folder=folder)))
    models = SimpleNamespace(
        asking=SimpleNamespace(pins=SimpleNamespace(all=dict)),
        gate=SimpleNamespace(prompts=Watch(())),
        api=SimpleNamespace(watch=Watch(SimpleNamespace(url="", reason=""))),
    )
    return SimpleNamespace(
        client=client, files=files, models=models, live=SimpleNamespace(load=load, on_sections=[]),
        supervisor=SimpleNamespace(watch=Watch(SupervisorState("up")), connection=None),
        sharing=SimpleNamespace(kept=Watch(0)), home=SimpleNamespace(daemon_log=folder),
    )  # fmt: skip


async def test_who_missed_more_patches_than_are_kept_gets_a_whole_picture(tmp_path: Path) -> None:
    app = app_that_sees(tmp_path)
    publisher = Publisher(app, Watch(RemoteState()))

    async def happens(count: int) -> None:
        for _ in range(count):
            app.client.state = replace(app.client.state, diag_quiet=not app.client.state.diag_quiet)
            await publisher.now()

    known = (await publisher.first()).rev
    await happens(PATCHES_KEPT)
    assert json.loads((await publisher.after(known)).text)["base"] == known
    await happens(1)
    told = json.loads((await publisher.after(known)).text)
    assert (told["rev"], told["snapshot"]["mesh"]["quiet"]) == (known + PATCHES_KEPT + 1, True)
