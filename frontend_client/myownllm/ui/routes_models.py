"""Routes about models: ask one, answer its questions, and what belongs to that: policy, prompts, conversations."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import msgspec
import trio

from mesh_common.client.errors import ControlError
from mesh_common.groups import unwrapped
from myownllm.catalog.file import wall_ms
from myownllm.changes import RNG
from myownllm.conversations.document import fresh, iso
from myownllm.errors import FAILURES, AppError
from myownllm.ids import mint_conversation_id
from myownllm.ui import words
from myownllm.ui.calls import LinesResponse, route
from myownllm.ui.failures import UiError, ui_error
from myownllm.ui.routes_peers import peer_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from starlette.responses import Response
    from starlette.routing import Route

    from myownllm.ui.calls import Call, Desk


def all_of(desk: Desk) -> list[Route]:
    return [
        route(desk, "GET", "/api/models", None, _models),
        route(desk, "POST", "/api/infer", words.Ask, _infer),
        route(desk, "POST", "/api/gate/{id}", words.Answer, _gate),
        route(desk, "GET", "/api/policy", None, _policy),
        route(desk, "PUT", "/api/policy", words.Policy, _change_policy),
        route(desk, "GET", "/api/prompts", None, _prompts),
        route(desk, "POST", "/api/prompts", words.Prompt, _add_prompt),
        route(desk, "PATCH", "/api/prompts/{id}", words.Prompt, _edit_prompt),
        route(desk, "DELETE", "/api/prompts/{id}", None, _remove_prompt),
        route(desk, "GET", "/api/conversations", None, _conversations),
        route(desk, "POST", "/api/conversations", words.Conversation, keep_new),
        route(desk, "POST", "/api/conversations/change", words.Conversations, _change_conversations),
        route(desk, "GET", "/api/conversations/{id}", None, conversation),
        route(desk, "PUT", "/api/conversations/{id}", words.Conversation, keep),
        route(desk, "POST", "/api/conversations/{id}/push", words.Move, _push),
        route(desk, "POST", "/api/peers/{key}/conversations/{id}/open", words.Nothing, _open),
        route(desk, "POST", "/api/peers/{key}/conversations/{id}/pull", words.Nothing, _pull),
        route(desk, "POST", "/api/peers/{key}/conversations/{id}/save", words.RemoteConversation, _save),
    ]


async def _models(call: Call, _: None) -> Any:
    return await call.app.door.ask("models", {})


async def _infer(call: Call, asked: words.Ask) -> Response:
    """An answer as lines of JSON, as it comes; a browser that leaves ends it wherever it runs."""
    question = msgspec.to_builtins(asked)
    return LinesResponse(answer_lines(call, question))


async def answer_lines(call: Call, question: dict[str, Any]) -> AsyncGenerator[bytes, None]:
    """The answer to a question of `infer`, one object a line; the last one is `{end}` or `{error}`."""
    try:
        async with aclosing(call.app.door.ask("infer", question)) as items:
            async for item in items:
                yield _line(item)
    except FAILURES as error:
        yield _line(ui_error(error).body)
    except BaseExceptionGroup as group:
        cause = unwrapped(group, FAILURES)
        if not isinstance(cause, AppError | ControlError):
            raise
        yield _line(ui_error(cause).body)
    else:
        yield _line({"end": True})


def _line(item: Any) -> bytes:
    return msgspec.json.encode(item) + b"\n"


async def _gate(call: Call, asked: words.Answer) -> None:
    number = call.part("id")
    if not number.isascii() or not number.isdigit():
        raise UiError(404, "not_found", "this question is not open any more")
    await call.app.door.ask("gate_answer", {"id": int(number), "choice": asked.choice})


# ── policy, prompts ───────────────────────────────────────────────────────────────────────────────────────────────────


async def _policy(call: Call, _: None) -> dict[str, Any]:
    permissions = await trio.to_thread.run_sync(call.app.sharing.policy.read)
    confirm = (await call.app.live.load()).confirm_relaxing_policy
    return {**permissions.to_json(), "confirm_relaxing": confirm}


async def _change_policy(call: Call, asked: words.Policy) -> Any:
    return await call.app.door.ask("policy", msgspec.to_builtins(asked))


async def _prompts(call: Call, _: None) -> dict[str, Any]:
    prompts = await trio.to_thread.run_sync(call.app.sharing.prompts.read)
    return {"prompts": [prompt.to_json() for prompt in prompts.records]}


def _members(asked: words.Prompt) -> dict[str, Any]:
    return {k: v for k, v in msgspec.to_builtins(asked).items() if v is not None}


async def _add_prompt(call: Call, asked: words.Prompt) -> Any:
    return await call.app.door.ask("prompts", {"action": "add", **_members(asked)})


async def _edit_prompt(call: Call, asked: words.Prompt) -> Any:
    return await call.app.door.ask("prompts", {"action": "edit", "prompt": call.part("id"), **_members(asked)})


async def _remove_prompt(call: Call, _: None) -> Any:
    return await call.app.door.ask("prompts", {"action": "remove", "prompt": call.part("id")})


# ── conversations ─────────────────────────────────────────────────────────────────────────────────────────────────────


async def _conversations(call: Call, _: None) -> Any:
    return await call.app.sharing.conversations()


async def conversation(call: Call, _: None) -> Any:
    return await call.app.sharing.conversation(call.part("id"))


async def keep_new(call: Call, asked: words.Conversation) -> Any:
    now_ms = wall_ms()
    return await call.app.sharing.keep(_filled(fresh(mint_conversation_id(now_ms, RNG), "", now_ms), asked))


async def keep(call: Call, asked: words.Conversation) -> Any:
    """What other programs noted in the document stays."""
    return await call.app.sharing.keep(_filled(await call.app.sharing.conversation(call.part("id")), asked))


def _filled(document: dict[str, Any], asked: words.Conversation) -> dict[str, Any]:
    return {**document, **msgspec.to_builtins(asked), "updated_at": iso(wall_ms())}


async def _change_conversations(call: Call, asked: words.Conversations) -> Any:
    return await call.app.door.ask("conversations", msgspec.to_builtins(asked))


async def _push(call: Call, asked: words.Move) -> Any:
    return await call.app.door.ask("conversation_push", {"peer": asked.peer, "conversation": call.part("id")})


async def _open(call: Call, _: words.Nothing) -> Any:
    """A conversation of a peer, to read."""
    asked = {"peer": call.part("key"), "conversation": call.part("id")}
    return (await call.app.door.ask("conversation_open", asked))["conversation"]


async def _save(call: Call, asked: words.RemoteConversation) -> Any:
    """Save it where it is; what other programs noted in it stays."""
    peer = peer_of(call)
    there = await _open(call, words.Nothing())
    if asked.base and there.get("updated_at") != asked.base:
        raise UiError(409, "conflict", "it was changed there since it was opened here")
    document = {**there, "title": asked.title, "messages": asked.messages, "updated_at": iso(wall_ms())}
    await call.app.sharing.save_at(peer, document, asked.base or None)
    return {"updated_at": document["updated_at"]}


async def _pull(call: Call, _: words.Nothing) -> Any:
    """Take a conversation of a peer over."""
    return await call.app.door.ask("conversation_pull", {"peer": call.part("key"), "conversation": call.part("id")})
