"""Routes about what listens over HTTP: the remote screen for the local network, and the local API for programs here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import trio

from myownllm.api.settings import ApiSettings
from myownllm.remote.settings import SECTION, WARNING, changed
from myownllm.ui import words
from myownllm.ui.calls import route
from myownllm.ui.qr import outline

if TYPE_CHECKING:
    from starlette.routing import Route

    from myownllm.ui.calls import Call, Desk


def all_of(desk: Desk) -> list[Route]:
    return [
        route(desk, "GET", "/api/remote", None, _look),
        route(desk, "PUT", "/api/remote", words.Remote, _set),
        route(desk, "POST", "/api/remote/pair", words.Nothing, _pair),
        route(desk, "POST", "/api/remote/kick", words.Kick, _kick),
        route(desk, "POST", "/api/local-api/token", words.Nothing, _token),
    ]


async def _look(call: Call, _: None) -> dict[str, Any]:
    """How it is, each address with its picture."""
    state: dict[str, Any] = await call.app.door.ask("remote", {})
    return {
        **state,
        "warning": f"{WARNING}.",
        "addresses": [{"url": url, "qr": outline(url)} for url in state["addresses"]],
    }


async def _set(call: Call, asked: words.Remote) -> dict[str, Any]:
    """As `settings remote`."""
    await trio.to_thread.run_sync(call.app.catalog.change_section, SECTION, changed(asked.enabled, asked.port))
    await call.app.live.load()
    return await _look(call, None)


async def _pair(call: Call, _: words.Nothing) -> dict[str, Any]:
    """A code for one browser; it is in no picture, so that only who asks for it sees it."""
    told = await call.app.door.ask("remote_pair", {})
    return {"code": told["code"], "until_ms": told["code_until_ms"]}


async def _kick(call: Call, asked: words.Kick) -> Any:
    return await call.app.door.ask("remote_kick", {"id": asked.id})


async def _token(call: Call, _: words.Nothing) -> dict[str, Any]:
    """The key that programs of this machine need; null where they need none."""
    await call.app.live.load()
    return {"token": ApiSettings.read(call.app.live.sections).bearer_token}
