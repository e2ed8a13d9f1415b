"""Routes about files: send them, take or decline what is offered, end what is under way."""

from __future__ import annotations

from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import trio

from myownllm.errors import AppError
from myownllm.ui import uploads, words
from myownllm.ui.calls import body_chunks, route

if TYPE_CHECKING:
    from starlette.routing import Route

    from myownllm.ui.calls import Call
    from myownllm.ui.desk import ScreenDesk


def all_of(desk: ScreenDesk) -> list[Route]:
    return [
        route(desk, "POST", "/api/files/send", words.SendFiles, _send, status=202),
        route(desk, "POST", "/api/files/upload", None, partial(_upload, desk), status=202),
        route(desk, "POST", "/api/files/{id}/accept", words.AcceptFile, _accept),
        route(desk, "POST", "/api/files/{id}/decline", words.Nothing, _decline),
        route(desk, "POST", "/api/files/{id}/cancel", words.Nothing, _cancel),
    ]


async def _send(call: Call, asked: words.SendFiles) -> dict[str, Any]:
    """Files of this machine, by their paths."""
    return {"files": await _begin(call, asked.peer, asked.paths)}


async def _upload(desk: ScreenDesk, call: Call, _: None) -> dict[str, Any]:
    """A file from the browser: `x-peer` and `x-file-name` say for whom and what it is called, in percent encoding."""
    headers = call.http.headers
    peer = await call.app.operations.named(headers.get("x-peer", "")[:200])
    path = await trio.to_thread.run_sync(uploads.place_for, call.app.home, unquote(headers.get("x-file-name", "")))
    try:
        async with await trio.open_file(path, "xb") as file:
            await body_chunks(call.http, file.write)
        begun = await _begin(call, peer.device_pubkey, [str(path)])
    except BaseException:
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(uploads.drop, path)
        raise
    desk.nursery.start_soon(uploads.drop_when_sent, call.app, path, begun[0]["id"])
    return {"files": begun}


async def _begin(call: Call, peer: str, paths: list[str]) -> list[Any]:
    if wrong := [path for path in paths if not path.startswith("/")]:
        raise AppError(f"{wrong[0][:200]} is no absolute path")
    asked = {"peer": peer, "paths": paths, "detach": True}
    async with aclosing(call.app.door.ask("files_send", asked)) as items:
        return [item async for item in items]


async def _accept(call: Call, asked: words.AcceptFile) -> Any:
    return await call.app.door.ask("inbox_accept", {"id": call.part("id"), "to": asked.to})


async def _decline(call: Call, _: words.Nothing) -> Any:
    return await call.app.door.ask("inbox_decline", {"id": call.part("id")})


async def _cancel(call: Call, _: words.Nothing) -> Any:
    return await call.app.door.ask("files_cancel", {"id": call.part("id")})
