"""The app's side of its door. Whatever a program of this login sends, it costs a bounded amount of memory and time."""

from __future__ import annotations

import contextlib
import errno
import socket
import stat
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import msgspec
import trio

from mesh_common.client.errors import ControlError, ErrorKind
from mesh_common.client.protocol import LineBuffer, parse_object
from mesh_common.groups import unwrapped
from mesh_common.sockets import bind_privately
from myownllm.beat import TICK_S, beat
from myownllm.errors import FAILURES, DoorError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable
    from pathlib import Path

    from myownllm.coerce import Json, JsonObject
    from myownllm.errors import AppError

    Handler = Callable[[JsonObject], Awaitable[Json] | AsyncGenerator[Json, None]]
    """`handler(members)`: an answer to wait for, or items to stream. What it raises of FAILURES is the caller's."""

LOOK_S: Final = 2 * TICK_S
"""How often the file is looked at."""
REQUEST_MAX_BYTES: Final = 5 * 2**20
"""A question may have 4 MiB of messages (FE-9.16)."""
UNFINISHED_MAX_BYTES: Final = 4 * REQUEST_MAX_BYTES
"""Of all requests that are not whole yet."""
REQUEST_S: Final = 10.0
"""For a request to come in whole."""
WRITE_S: Final = 60.0
"""For one line to be taken; a screen that stands still that long begins anew."""
CONNECTIONS: Final = 64
"""At once. One more costs the oldest that has not asked for anything yet."""
_CHUNK: Final = 65536


class Door:
    """What the app answers, and the socket it does that on."""

    def __init__(self) -> None:
        self._operations: dict[str, Handler] = {}
        self._idle: list[trio.CancelScope] = []
        self._open = 0
        self._unfinished = 0

    def operation(self, name: str, handler: Handler) -> None:
        """Answer that operation. Raises ValueError when another feature does."""
        if name in self._operations:
            raise ValueError(f"two features answer '{name}'")
        self._operations[name] = handler

    def ask(self, name: str, members: JsonObject) -> Any:
        """The answer of an operation, for a screen of this process: to await, or to iterate and close."""
        return self._operations[name](members)

    async def keep(self, path: Path) -> None:
        """Answer whoever knocks at `path`, until cancelled. Raises OSError when nobody could.

        The caller holds the lock of the home, so what another app left at the path may be replaced.
        """
        try:
            async with trio.open_nursery() as visits:
                while True:
                    await self._serve(path, visits)  # until somebody has removed the file: no command would find us
        except BaseExceptionGroup as group:
            if (cause := unwrapped(group, (OSError,))) is group:
                raise
            raise cause from None

    async def _serve(self, path: Path, visits: trio.Nursery) -> None:
        listener = _listen(path)
        mine = _identity(path)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(
                    partial(
                        trio.serve_listeners,
                        self._visit,
                        [trio.SocketListener(trio.socket.from_stdlib_socket(listener))],
                        handler_nursery=visits,
                    )
                )
                while _identity(path) == mine:
                    await beat(LOOK_S)
                nursery.cancel_scope.cancel()
        finally:
            listener.close()
            if _identity(path) == mine:
                _remove(path)

    async def _visit(self, stream: trio.SocketStream) -> None:
        self._open += 1
        try:
            async with stream:
                if self._open > CONNECTIONS and not self._idle:
                    await _send(stream, _failed(DoorError("busy", "too many commands talk to this app at once")))
                    return
                if self._open > CONNECTIONS:
                    self._idle.pop(0).cancel()
                await self._answer(stream)
        except* (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the visitor has left
        finally:
            self._open -= 1

    async def _answer(self, stream: trio.SocketStream) -> None:
        try:
            request = await self._request(stream)
        except ControlError as error:
            await _send(stream, _failed(error))
            return
        if request is None:
            return
        handler = self._operations.get(str(request.get("op")))
        if handler is None:
            await _send(stream, _failed(DoorError("unknown_operation", f"unknown operation `{request.get('op')}`")))
            return
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_watch, stream, nursery.cancel_scope)
            await _perform(stream, handler, {k: v for k, v in request.items() if k != "op"})
            nursery.cancel_scope.cancel()

    async def _request(self, stream: trio.SocketStream) -> JsonObject | None:
        """The request of a visitor; None when it says nothing in time. Raises ControlError for what is none."""
        buffer, size = LineBuffer(REQUEST_MAX_BYTES), 0
        with trio.move_on_after(REQUEST_S) as scope:
            self._idle.append(scope)
            try:
                while data := await stream.receive_some(_CHUNK):
                    size += len(data)
                    self._unfinished += len(data)
                    if self._unfinished > UNFINISHED_MAX_BYTES:
                        raise ControlError(ErrorKind.BUSY, "too many large requests at once; try again")
                    try:
                        lines = buffer.feed(bytes(data))
                    except ControlError:
                        text = f"a request of more than {REQUEST_MAX_BYTES} bytes"
                        raise ControlError(ErrorKind.TOO_LARGE, text) from None
                    if lines:
                        return parse_object(lines[0])
            finally:
                self._unfinished -= size
                if scope in self._idle:
                    self._idle.remove(scope)
        return None


def _listen(path: Path) -> socket.socket:
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISSOCK(path.lstat().st_mode):
            path.unlink()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if not bind_privately(listener, path):  # nobody is asked who they are here
            path.unlink()
            raise PermissionError(errno.EPERM, "this file system would let other users in", str(path))
        listener.listen(CONNECTIONS)
    except OSError:
        listener.close()
        raise
    return listener


def _identity(path: Path) -> tuple[int, int] | None:
    """Which file it is; None when there is none."""
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)


async def _watch(stream: trio.SocketStream, scope: trio.CancelScope) -> None:
    """End what is done for a visitor who leaves. One who talks on after the request is not listened to."""
    extra = 0
    while extra < _CHUNK:
        try:
            data = await stream.receive_some(_CHUNK)
        except trio.BrokenResourceError:
            break
        if not data:
            break
        extra += len(data)
    scope.cancel()


async def _perform(stream: trio.SocketStream, handler: Handler, members: JsonObject) -> None:
    try:
        result = handler(members)
        if hasattr(result, "__aiter__"):
            await _stream_items(stream, result)
            answer: JsonObject = {"ok": True, "data": None}
        else:
            answer = {"ok": True, "data": await result}
    except FAILURES as error:
        answer = _failed(error)
    await _send(stream, answer)


async def _stream_items(stream: trio.SocketStream, items: Any) -> None:
    try:
        async for item in items:
            await _send(stream, {"item": item})
    finally:
        await items.aclose()


async def _send(stream: trio.SocketStream, value: JsonObject) -> None:
    with trio.move_on_after(WRITE_S) as limit:
        await stream.send_all(msgspec.json.encode(value) + b"\n")
    if limit.cancelled_caught:
        raise trio.BrokenResourceError("the visitor takes nothing")


def _failed(error: AppError | ControlError) -> JsonObject:
    kind = error.kind if isinstance(error, ControlError | DoorError) else "error"
    return {"ok": False, "error": {"kind": str(kind), "message": str(error)}}
