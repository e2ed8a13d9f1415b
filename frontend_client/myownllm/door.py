"""The door of a running app: a socket in its home where commands of this login knock (spec 08 §1.2).

`follow`, the one request so far, makes the app read its saved networks and answers when it stands by what they say.
So a command that changed them waits for one answer instead of looking again and again, and so need not the app.
"""

from __future__ import annotations

import contextlib
import socket
import stat
from typing import TYPE_CHECKING, Final

import msgspec
import trio

from mesh_common.client.errors import ControlError
from mesh_common.client.protocol import LineBuffer, parse_object
from myownllm.home import PRIVATE_FILE

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from myownllm.coerce import JsonObject

REQUEST_MAX_BYTES: Final = 4096
"""A longer request is nobody's."""
ANSWER_LIMIT_S: Final = 30.0
"""Beyond what any command waits."""
_CHUNK: Final = 4096


class Door:
    """Made by the app that holds the lock of the home, so what another one left at the path may be replaced."""

    def __init__(self, path: Path) -> None:
        """Listen at `path`. Raises OSError."""
        self._path = path
        with contextlib.suppress(FileNotFoundError):
            if stat.S_ISSOCK(path.lstat().st_mode):
                path.unlink()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.bind(str(path))
            path.chmod(PRIVATE_FILE)
            self._socket.listen(16)
        except OSError:
            self._socket.close()
            raise

    async def keep(self, follow: Callable[[], Awaitable[JsonObject]]) -> None:
        """Answer whoever knocks, until cancelled."""

        async def answer(stream: trio.SocketStream) -> None:
            with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError, ControlError):
                async with stream:
                    line = await _line(stream)
                    if line:
                        with trio.move_on_after(ANSWER_LIMIT_S):
                            await stream.send_all(msgspec.json.encode(await _response(line, follow)) + b"\n")

        await trio.serve_listeners(answer, [trio.SocketListener(trio.socket.from_stdlib_socket(self._socket))])

    def close(self) -> None:
        """Nobody may knock any more."""
        self._socket.close()
        self._path.unlink(missing_ok=True)


async def _line(stream: trio.SocketStream) -> bytes:
    buffer = LineBuffer(REQUEST_MAX_BYTES)
    async for data in stream:
        lines = buffer.feed(bytes(data))
        if lines:
            return lines[0]
    return b""


async def _response(line: bytes, follow: Callable[[], Awaitable[JsonObject]]) -> JsonObject:
    operation = parse_object(line).get("op")
    if operation != "follow":
        return {"ok": False, "error": f"parse: unknown variant `{operation}`, expected `follow`"}
    return {"ok": True, "data": await follow()}
