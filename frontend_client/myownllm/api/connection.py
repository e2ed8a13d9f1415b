"""One HTTP connection: h11 decides, trio moves the bytes, and everything has a bound.

Heads, bodies, pauses of the client in both directions are limited. While an answer is made the connection is read too:
a client that leaves is noticed at once, and what it was asking for ends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs
import h11
import trio

from myownllm.api.failures import ApiError
from myownllm.api.guard import Head

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

HEAD_MAX_BYTES: Final = 32 * 2**10
BODY_MAX_BYTES: Final = 8 * 2**20
"""The longest conversation, and as much again around it."""
HEAD_S: Final = 10.0
"""For a request line and its headers, from its first byte."""
BODY_S: Final = 60.0
BODY_PAUSE_S: Final = 10.0
IDLE_S: Final = 60.0
"""A connection without a request is kept so long."""
WRITE_S: Final = 30.0
"""A client that takes nothing for so long is gone."""
AHEAD_MAX_BYTES: Final = 64 * 2**10
"""Requests that a client sends before it has its answer."""
DRAIN_S: Final = 3.0
"""A client is heard out so long before its refused request ends the connection; else it would not see the reason."""
_CHUNK: Final = 64 * 2**10


class ClientGone(Exception):
    """The client has left, or takes or gives nothing any more: there is nobody to answer."""


@attrs.define
class BodyRoom:
    """Memory for bodies that are under way on all connections."""

    left: int = 64 * 2**20


class HttpConnection:
    """The server's end of one connection."""

    def __init__(self, stream: trio.SocketStream, room: BodyRoom) -> None:
        self._stream, self._room = stream, room
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_MAX_BYTES)
        self._ahead = bytearray()
        self._is_head = False
        self._unsent = b""
        self._ended = False
        self.local_address = str(stream.socket.getsockname()[0])

    # ── reading ───────────────────────────────────────────────────────────────────────────────────────────────────────

    async def next_head(self) -> Head | None:
        """The head of the next request; None when there is none any more. Raises ApiError, ClientGone."""
        with trio.move_on_after(IDLE_S) as idle:
            while True:
                match self._event():
                    case h11.NEED_DATA:
                        if not await self._receive():
                            return None
                        if idle.deadline - trio.current_time() > HEAD_S:
                            idle.deadline = trio.current_time() + HEAD_S
                    case h11.Request() as request:
                        self._is_head = request.method == b"HEAD"
                        return _head(request)
                    case _:  # the connection is closed, or the client wants another protocol
                        return None
        return None

    async def body(self) -> bytes:
        """The whole body. Raises ApiError for one that is too long, ClientGone for one that does not come."""
        if self._h11.they_are_waiting_for_100_continue:
            self._keep(h11.InformationalResponse(status_code=100, headers=[]))
            await self._flush()
        data = bytearray()
        taken = 0
        try:
            with trio.move_on_after(BODY_S):
                while True:
                    match self._event():
                        case h11.Data(data=part):
                            taken += len(part)
                            self._room.left -= len(part)
                            if len(data) + len(part) > BODY_MAX_BYTES:
                                raise too_large()
                            if self._room.left < 0:
                                raise ApiError(503, "overloaded", "too many large requests at once; try again")
                            data += part
                        case h11.EndOfMessage():
                            return bytes(data)
                        case h11.NEED_DATA:
                            with trio.move_on_after(BODY_PAUSE_S):
                                if not await self._receive():
                                    raise ClientGone
                                continue
                            raise ApiError(408, "too_slow", "the request did not come to its end")
                        case _:
                            raise ClientGone
            raise ApiError(408, "too_slow", "the request did not come to its end")
        finally:
            self._room.left += taken

    def _event(self) -> object:
        try:
            return self._h11.next_event()
        except h11.RemoteProtocolError as error:
            status = error.error_status_hint if error.error_status_hint in (413, 431, 501) else 400
            raise ApiError(status, "bad_request", f"this is no HTTP request: {error}") from None

    async def _receive(self) -> bool:
        """Feed h11 with what comes next; False when nothing will."""
        if self._ahead:
            data, self._ahead = bytes(self._ahead), bytearray()
        elif self._ended:
            return False
        else:
            try:
                data = bytes(await self._stream.receive_some(_CHUNK))
            except trio.BrokenResourceError:
                raise ClientGone from None
        self._ended = not data
        try:
            self._h11.receive_data(data)
        except h11.RemoteProtocolError:
            raise ClientGone from None
        return bool(data)

    async def while_connected(self, work: Callable[[], Awaitable[None]]) -> None:
        """Run `work` unless the client leaves, which cancels it. Raises ClientGone then."""
        gone = False

        async def watch() -> None:
            nonlocal gone
            while len(self._ahead) < AHEAD_MAX_BYTES:
                try:
                    data = bytes(await self._stream.receive_some(_CHUNK))
                except trio.BrokenResourceError:
                    data = b""
                if not data:
                    gone = self._ended = True
                    break
                self._ahead += data
            else:
                return
            nursery.cancel_scope.cancel()

        async def run() -> None:
            nonlocal gone
            try:
                await work()
            except ClientGone:
                gone = True
            nursery.cancel_scope.cancel()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch)
            nursery.start_soon(run)
        if gone and not self.answered:
            raise ClientGone

    # ── writing ───────────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def answered(self) -> bool:
        """The answer to the present request is complete."""
        return self._h11.our_state in (h11.DONE, h11.MUST_CLOSE, h11.CLOSED)

    @property
    def begun(self) -> bool:
        """Some of the answer has been sent, so its status stands."""
        return self._h11.our_state not in (h11.IDLE, h11.SEND_RESPONSE)

    async def answer(self, status: int, headers: Sequence[tuple[str, str]], body: bytes) -> None:
        """A whole answer. Raises ClientGone."""
        self.begin(status, [*headers, ("Content-Length", str(len(body)))])
        await self.more(body, end=True)

    def begin(self, status: int, headers: Sequence[tuple[str, str]]) -> None:
        """The head of an answer; it goes out with the first bytes of the body."""
        self._keep(h11.Response(status_code=status, headers=list(headers)))

    async def more(self, data: bytes, *, end: bool = False) -> None:
        """Bytes of the body, the last ones with `end`. Raises ClientGone."""
        if data and not self._is_head:
            self._keep(h11.Data(data=data))
        if end:
            self._keep(h11.EndOfMessage())
        await self._flush()

    def _keep(self, event: h11.Event) -> None:
        self._unsent += self._h11.send(event) or b""

    async def _flush(self) -> None:
        data, self._unsent = self._unsent, b""
        with trio.move_on_after(WRITE_S):
            try:
                await self._stream.send_all(data)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                raise ClientGone from None
            return
        raise ClientGone

    # ── ends ──────────────────────────────────────────────────────────────────────────────────────────────────────────

    def next_request(self) -> bool:
        """Is the connection ready for another request?"""
        if self._h11.our_state is not h11.DONE or self._h11.their_state is not h11.DONE:
            return False
        self._h11.start_next_cycle()
        return True

    async def part(self) -> None:
        """End it so that the client can read what it was told, even one that is still sending."""
        with trio.move_on_after(DRAIN_S):
            try:
                await self._stream.send_eof()
                while not self._ended and await self._stream.receive_some(_CHUNK):
                    pass
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return


def too_large() -> ApiError:
    return ApiError(413, "request_too_large", f"a request may have {BODY_MAX_BYTES} bytes")


def _head(request: h11.Request) -> Head:
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in request.headers}
    path = request.target.decode("latin-1").partition("?")[0]
    head = Head(request.method.decode("latin-1"), path, headers)
    length = headers.get("content-length", "0")
    if length.isdigit() and int(length[:20]) > BODY_MAX_BYTES:
        raise too_large()
    return head
