"""What a person changes in policy, prompts and conversations: one JSON request each, one JSON answer.

The door of the running app and the commands use the same words, so a command hands its request to the app when one runs
and carries it out itself when none does. Blocking. Everything raises AppError.
"""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, assert_never

import attrs
import msgspec

from mesh_common.handwritten import without_mark
from myownllm.conversations.document import ConversationError, fresh
from myownllm.conversations.store import READ_MAX_BYTES
from myownllm.errors import AppError
from myownllm.ids import mint_conversation_id
from myownllm.payloads import structure
from myownllm.policy import Mode, Tool  # noqa: TC001 - requests are read by their annotations
from myownllm.prompts import TOOLS, known_tools

if TYPE_CHECKING:
    from collections.abc import Callable

    from myownllm.coerce import JsonObject
    from myownllm.conversations.store import ConversationStore, Entry
    from myownllm.records import PolicyStore, PromptStore

RNG = random.SystemRandom()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


# ── policy ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@attrs.frozen
class PolicyChange:
    """`set` needs a mode, `allow` and `forget` a literal, `agree` a code; `confirm` needs `on` and no tool."""

    action: Literal["set", "allow", "forget", "agree", "reject", "confirm"]
    tool: Tool = "shell"
    mode: Mode = "ask"
    literal: str = ""
    code: str = ""
    on: bool = True


def change_policy(store: PolicyStore, request: JsonObject) -> JsonObject:
    """Change the policy of the active network; the answer is what `Permissions.to_json` gives."""
    asked = structure(PolicyChange, request)
    match asked.action:
        case "set":
            permissions = store.edit(lambda p, now_ms: p.set_mode(asked.tool, asked.mode, now_ms))
        case "allow":
            permissions = store.edit(lambda p, now_ms: p.allow(asked.tool, asked.literal, now_ms))
        case "forget":
            permissions = store.edit(lambda p, now_ms: p.forget(asked.tool, asked.literal, now_ms))
        case "agree":
            permissions = store.decide(lambda p: p.agree(asked.tool, asked.code))
        case "reject":
            permissions = store.decide(lambda p: p.reject(asked.tool))
        case "confirm":
            store.confirm_relaxing(asked.on)
            return {"confirm_relaxing_policy": asked.on}
        case _:
            assert_never(asked.action)
    return permissions.to_json()


# ── prompts ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@attrs.frozen
class PromptChange:
    """`edit` and `remove` need a prompt (id, its beginning, or name); `use` also the network it is on."""

    action: Literal["add", "edit", "remove", "use"]
    prompt: str = ""
    network: str = ""
    name: str | None = None
    system_prompt: str | None = None
    user_prompt: str | None = None
    tools: list[str] | None = None

    @property
    def members(self) -> dict[str, Any]:
        """What is to be different. Raises AppError for a tool that nobody knows."""
        if self.tools is not None and set(self.tools) - set(TOOLS):
            raise AppError(f"unknown tool; there are {', '.join(TOOLS)}")
        tools = None if self.tools is None else known_tools(self.tools)
        texts = {n: getattr(self, n) for n in ("name", "system_prompt", "user_prompt")}
        return {n: v for n, v in {**texts, "tools": tools}.items() if v is not None}


def change_prompts(store: PromptStore, request: JsonObject) -> JsonObject:
    """Change the prompts of the active network; the answer is the prompt it was about."""
    asked = structure(PromptChange, request)
    match asked.action:
        case "add":
            made = store.edit(lambda prompts, now_ms: prompts.add(now_ms, RNG, **asked.members))
        case "edit":
            made = store.edit(lambda prompts, now_ms: prompts.edit(asked.prompt, now_ms, **asked.members))
        case "remove":
            made = store.edit(lambda prompts, now_ms: prompts.remove(asked.prompt, now_ms))
        case "use":
            made = store.use(asked.prompt, asked.network)
        case _:
            assert_never(asked.action)
    return made.to_json()


# ── conversations ─────────────────────────────────────────────────────────────────────────────────────────────────────


@attrs.frozen
class ConversationChange:
    """`ids` are what a person types for conversations here: id, its beginning, or title."""

    action: Literal["new", "import", "move", "remove", "restore", "empty_trash"]
    ids: list[str] = attrs.field(factory=list)
    title: str = ""
    folder: str = ""
    path: str = ""
    """absolute, of the file to import"""


def change_conversations(store: ConversationStore, request: JsonObject) -> JsonObject:
    """Change the conversations here: `{"conversations": […]}` are those it was about, `{"emptied"}` a count."""
    asked = structure(ConversationChange, request)
    match asked.action:
        case "new":
            now_ms = _now_ms()
            made = [store.save(fresh(mint_conversation_id(now_ms, RNG), asked.title, now_ms), asked.folder)]
        case "import":
            made = [store.save(_named(read_document(Path(asked.path))), asked.folder)]
        case "move":
            made = _each(store, asked.ids, lambda each: store.move(each, asked.folder))
        case "remove":
            made = _each(store, asked.ids, lambda each: _removed(store, each))
        case "restore":
            made = [store.restore(store.select_trashed(each)) for each in asked.ids]
        case "empty_trash":
            return {"emptied": store.empty_trash()}
        case _:
            assert_never(asked.action)
    return {"conversations": [msgspec.structs.asdict(entry) for entry in made]}


def read_document(path: Path) -> JsonObject:
    """The conversation in a file of this machine."""
    try:
        with path.open("rb") as file:  # a pipe has no size, and a device no end
            data = file.read(READ_MAX_BYTES + 1)
        if len(data) > READ_MAX_BYTES:
            raise ConversationError(f"{path} is larger than any conversation")
        document = msgspec.json.decode(without_mark(data))
    except OSError as error:
        raise ConversationError(f"cannot read {path}: {error.strerror}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ConversationError(
            f"{path} is no JSON; `myownllm conversations export` writes what is read here"
        ) from None
    if not isinstance(document, dict):
        raise ConversationError(f"{path} holds no conversation, which is a JSON object")
    return document


def _each(store: ConversationStore, texts: list[str], change: Callable[[str], Entry]) -> list[Entry]:
    """All of them are known before the first one is changed."""
    return [change(each) for each in dict.fromkeys(store.select(text) for text in texts)]


def _removed(store: ConversationStore, conversation_id: str) -> Entry:
    entry = store.entry(conversation_id)
    store.remove(conversation_id)
    return entry


def _named(document: JsonObject) -> JsonObject:
    """A document of another program may have no id of ours."""
    return document if isinstance(document.get("id"), str) else {**document, "id": mint_conversation_id(_now_ms(), RNG)}
