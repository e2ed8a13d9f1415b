"""One WebSocket per tab: a whole picture, then patches, each acknowledged before the next (spec 08 §10.1).

So a slow tab gets the newest state instead of a queue, and a stopped one costs one message. Beside the writer a reader
always waits: without it nothing would notice that the tab has left.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
import trio
from starlette.websockets import WebSocketDisconnect

from myownllm.errors import FAILURES
from myownllm.ui.guard import cookie_of

if TYPE_CHECKING:
    from starlette.websockets import WebSocket

    from myownllm.ui.desk import ScreenDesk
    from myownllm.ui.publisher import Message

HELLO_S: Final = 5.0
"""For the first message, which carries the session's secret."""
ACK_S: Final = 30.0
"""A tab that takes nothing for so long is asleep; it comes back by itself."""
TABS: Final = 16
NO_SESSION: Final = 4401
"""Close codes: the page shows a screen for each."""
TOO_MANY: Final = 4429
ASLEEP: Final = 4408
BAD_WORD: Final = 4400
ENDED: Final = 4403
_LEAST_MESSAGE_S: Final = 0.01
"""A tab that says more than a hundred words a second is none of ours."""


class Hello(msgspec.Struct, forbid_unknown_fields=True):
    secret: str


class Ack(msgspec.Struct, forbid_unknown_fields=True):
    ack: int


async def serve_tab(desk: ScreenDesk, socket: WebSocket) -> None:
    """One tab, until it leaves, its session ends, or the app does."""
    if not desk.sessions.has_cookie(cookie_of(desk.place, socket.scope["headers"])):
        await socket.accept()
        await socket.close(NO_SESSION)
        return
    await socket.accept()
    if desk.sessions.tabs >= TABS:
        await socket.close(TOO_MANY)
        return
    desk.sessions.tabs += 1
    try:
        await _tab(desk, socket)
    except* (WebSocketDisconnect, trio.BrokenResourceError, trio.ClosedResourceError):
        pass  # it has left
    finally:
        desk.sessions.tabs -= 1


async def _tab(desk: ScreenDesk, socket: WebSocket) -> None:
    try:
        with trio.fail_after(HELLO_S):
            hello = msgspec.json.decode(await socket.receive_text(), type=Hello)
        session = desk.session_of(socket.scope, hello.secret)
    except (trio.TooSlowError, msgspec.DecodeError, KeyError, *FAILURES):
        await socket.close(NO_SESSION)
        return
    talk = _Talk(socket)
    code = 1000
    async with trio.open_nursery() as nursery:

        async def until_ended() -> None:
            nonlocal code
            await session.ended.wait()
            code = ENDED
            nursery.cancel_scope.cancel()

        nursery.start_soon(until_ended)
        nursery.start_soon(talk.listen, nursery.cancel_scope)
        with desk.publisher.viewer():
            await talk.tell(await desk.publisher.first())
            while not talk.is_asleep:
                await talk.tell(await desk.publisher.after(talk.known))
        nursery.cancel_scope.cancel()
    if talk.has_left:
        return
    await socket.close(talk.code or code)


class _Talk:
    """What one tab knows."""

    def __init__(self, socket: WebSocket) -> None:
        self.known = 0
        self.is_asleep = self.has_left = False
        self.code = 0
        self._socket = socket
        self._acked = trio.Event()
        self._due = 0

    async def tell(self, message: Message) -> None:
        self._due, self._acked = message.rev, trio.Event()
        await self._socket.send_text(message.text)
        with trio.move_on_after(ACK_S):
            await self._acked.wait()
            self.known = message.rev
            return
        self.is_asleep, self.code = True, ASLEEP

    async def listen(self, scope: trio.CancelScope) -> None:
        """Every message of the tab, and its leaving."""
        try:
            while True:
                text = await self._socket.receive_text()
                if msgspec.json.decode(text, type=Ack).ack == self._due:
                    self._acked.set()
                await trio.sleep(_LEAST_MESSAGE_S)
        except (msgspec.DecodeError, KeyError):  # the latter of bytes
            self.code = BAD_WORD
        except WebSocketDisconnect:
            self.has_left = True
        scope.cancel()
