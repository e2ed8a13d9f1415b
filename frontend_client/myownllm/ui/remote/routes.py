"""What a paired browser of the local network may ask: models, talk with one, conversations, and no more (FE-10.4).

No model gets a function here: nobody at the phone could see what it would do to this machine.
"""

from __future__ import annotations

from contextlib import aclosing, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import attrs
import msgspec
import trio

from myownllm.peers import CONNECTED
from myownllm.ui import routes_models, words
from myownllm.ui.calls import Desk, LinesResponse, route
from myownllm.ui.failures import UiError
from myownllm.ui.guard import cookie_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator

    from starlette.responses import Response
    from starlette.routing import Route
    from starlette.types import Scope

    from myownllm.remote.pairing import Pairing
    from myownllm.ui.calls import Call
    from myownllm.ui.remote.guests import Guests
    from myownllm.ui.sessions import Session

ANSWERS_MAX: Final = 8
"""Questions of all paired browsers under way at once."""
_REFUSALS: Final = {
    "wrong": UiError(403, "wrong_code", "this is not the code that the other screen shows"),
    "blocked": UiError(429, "too_many", "too many wrong codes came from here; ask for a new code at the other screen"),
    "none": UiError(409, "no_code", "there is no code now: `myownllm remote --pair`, or HTTP on its screen, shows one"),
}


@attrs.define(eq=False)
class Talk:
    """What all paired browsers share."""

    conversation: str | None = None
    """that was opened last"""
    answers: int = 0

    @contextmanager
    def answering(self) -> Iterator[None]:
        """One question is under way for the length of the block. Raises UiError when there are too many."""
        if self.answers >= ANSWERS_MAX:
            raise UiError(429, "busy", f"{ANSWERS_MAX} answers are under way; ask again when one has ended")
        self.answers += 1
        try:
            yield
        finally:
            self.answers -= 1


class RemoteDesk(Desk, frozen=True):
    """What requests of paired browsers are answered from."""

    guests: Guests
    pairing: Pairing
    tried: Callable[[str, str], None]
    """told the outcome of a pairing, and whose address it was"""
    talk: Talk

    def session_of(self, scope: Scope, secret: str) -> Session:
        """Also: it was seen. Raises KickedError."""
        self.guests.refuse_kicked(cookie_of(self.place, scope["headers"]))
        session = Desk.session_of(self, scope, secret)
        self.guests.seen(session, address_of(scope))
        return session

    @property
    def no_session(self) -> str:
        return "this browser is not paired: it needs a code"


def address_of(scope: Scope) -> str:
    """Of the browser."""
    client = scope.get("client")
    return str(client[0]) if client else ""


def all_of(desk: RemoteDesk) -> list[Route]:
    return [
        route(desk, "GET", "/healthz", None, _health, is_open=True),
        route(desk, "POST", "/api/pair", words.Pair, partial(_pair, desk), is_open=True),
        route(desk, "POST", "/api/heartbeat", words.Nothing, _heartbeat),
        route(desk, "GET", "/api/models", None, _models),
        route(desk, "POST", "/api/chat", words.Chat, partial(_chat, desk)),
        route(desk, "POST", "/api/chat/stream", words.Chat, partial(_stream, desk)),
        route(desk, "GET", "/api/active-conversation", None, partial(_active, desk)),
        route(desk, "PUT", "/api/active-conversation", words.ActiveConversation, partial(_activate, desk)),
        route(desk, "GET", "/api/conversations", None, _conversations),
        route(desk, "POST", "/api/conversations", words.Conversation, routes_models.keep_new),
        route(desk, "GET", "/api/conversations/{id}", None, routes_models.conversation),
        route(desk, "PUT", "/api/conversations/{id}", words.Conversation, routes_models.keep),
    ]


async def _health(_: Call, __: None) -> dict[str, Any]:
    await trio.lowlevel.checkpoint()
    return {"status": "ok"}


async def _pair(desk: RemoteDesk, call: Call, asked: words.Pair) -> Response:
    desk.guests.refuse_kicked(cookie_of(desk.place, call.http.scope["headers"]))
    address = address_of(call.http.scope)
    outcome = desk.pairing.attempt(asked.code, address, trio.current_time())
    desk.tried(outcome, address)
    if outcome != "right":
        raise _REFUSALS[outcome]
    return await desk.enter(desk.sessions.begin())


async def _heartbeat(_: Call, __: words.Nothing) -> dict[str, Any]:
    await trio.lowlevel.checkpoint()
    return {"ok": True}


# ── models ────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def _models(call: Call, _: None) -> dict[str, Any]:
    """Those that could answer now."""
    here = {p.device_pubkey for p in call.app.client.state.peers if p.status in CONNECTED}
    told = (await call.app.door.ask("models", {}))["models"]
    return {
        "models": [
            {"id": m["id"], "device": m["owned_by"], "family": m["myownllm"].get("family")}
            for m in told
            if m["myownllm"].get("mode") != "embedding" and m["myownllm"].get("device") in (None, *here)
        ]
    }


async def _chat(desk: RemoteDesk, call: Call, asked: words.Chat) -> dict[str, Any]:
    """A whole answer; a browser that leaves ends it wherever it runs."""
    text, told = "", dict[str, Any]()
    with desk.talk.answering():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_until_left, call, nursery.cancel_scope)
            async with aclosing(call.app.door.ask("infer", msgspec.to_builtins(asked))) as items:
                async for item in items:
                    text += item.get("delta", "")
                    told |= {name: item[name] for name in ("from", "finish_reason") if name in item}
            nursery.cancel_scope.cancel()
    return {"message": {"role": "assistant", "content": text}, **told}


async def _until_left(call: Call, scope: trio.CancelScope) -> None:
    while (await call.http.receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


async def _stream(desk: RemoteDesk, call: Call, asked: words.Chat) -> Response:
    """An answer as lines of JSON, as it comes."""
    with desk.talk.answering():
        pass  # refused with a status, while there still can be one
    return LinesResponse(_lines(desk, call, msgspec.to_builtins(asked)))


async def _lines(desk: RemoteDesk, call: Call, question: dict[str, Any]) -> AsyncGenerator[bytes, None]:
    with desk.talk.answering():
        async with aclosing(routes_models.answer_lines(call, question)) as lines:
            async for line in lines:
                yield line


# ── conversations ─────────────────────────────────────────────────────────────────────────────────────────────────────


async def _conversations(call: Call, _: None) -> dict[str, Any]:
    return {"conversations": (await call.app.sharing.conversations())["conversations"]}


async def _active(desk: RemoteDesk, _: Call, __: None) -> dict[str, Any]:
    """Which conversation was opened last, so that the next browser goes on with it."""
    await trio.lowlevel.checkpoint()
    return {"id": desk.talk.conversation}


async def _activate(desk: RemoteDesk, call: Call, asked: words.ActiveConversation) -> dict[str, Any]:
    if asked.id is not None:
        await call.app.sharing.conversation(asked.id)  # there must be one
    desk.talk.conversation = asked.id
    return {"id": asked.id}
