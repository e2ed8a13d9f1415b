"""The model server of this app: is it there, which models has it, and answers from it.

Ollama is found by itself at its default address; another server is named in the configuration. One task looks every two
seconds; while nobody listens at the address a look is one refused connection. httpx is loaded with the first question,
or with the first look at a server that is not on this machine.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import trio

from mesh_common.values import Value
from myownllm.beat import TICK_S, until_beat
from myownllm.coerce import as_object, tolerant
from myownllm.runtimes import models
from myownllm.runtimes.errors import RuntimeFailure
from myownllm.runtimes.http import Http
from myownllm.runtimes.questions import ollama_chat, openai_chat
from myownllm.runtimes.readers import OllamaReader, OpenAiReader
from myownllm.runtimes.settings import RuntimeSettings
from myownllm.runtimes.stream import CLOSE_S, Answer
from myownllm.runtimes.told import OllamaEmbeddings
from myownllm.watch import Watch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from myownllm.coerce import Json, JsonObject
    from myownllm.runtimes.chat import ChatRequest
    from myownllm.runtimes.models import Model

LOOK_S: Final = 2 * TICK_S
"""Between two looks: a change is known within five seconds, also when a look takes its whole limit (spec 08 S8)."""
LOOK_LIMIT_S: Final = 2.5
EMBED_S: Final = 180.0
PRELOAD_S: Final = 300.0
_UNKNOWN: Final = "the model server has not been looked at yet"


class RuntimeState(Value, frozen=True):
    """What is known about the model server."""

    kind: str = "ollama"
    base_url: str = ""
    up: bool = False
    reason: str = _UNKNOWN
    """why it is not up; empty while it is"""
    models: tuple[Model, ...] = ()

    @property
    def chat_models(self) -> tuple[Model, ...]:
        return tuple(m for m in self.models if m.chats)

    def model(self, tag: str) -> Model | None:
        return next((m for m in self.models if m.tag == tag), None)


class Runtimes:
    """Made once per app; `run` must be running for anything to happen."""

    def __init__(self, settings: RuntimeSettings | None = None) -> None:
        self._settings = settings or RuntimeSettings()
        self.watch = Watch(self._unseen())
        self._http = Http(self._settings)
        self._left: list[Http] = []
        self._nursery: trio.Nursery | None = None
        self._known: dict[tuple[str, str], Model] = {}
        self._loaded = False
        self._look_now = trio.Event()
        self._listeners: list[Callable[[], None]] = []
        self.running = 0
        """answers under way"""

    @property
    def state(self) -> RuntimeState:
        return self.watch.value

    def use(self, settings: RuntimeSettings) -> None:
        """The configuration names this server now. Answers under way go on with the one they came from."""
        if settings != self._settings:
            self._left.append(self._http)
            self._settings, self._http = settings, Http(settings)
            self._known, self._loaded = {}, False
            self._show(self._unseen())
            self._look_now.set()

    def on_models(self, tell: Callable[[], None]) -> Callable[[], None]:
        """`tell` is called when other models are there than before; returns what takes that back."""
        self._listeners.append(tell)
        return lambda: self._listeners.remove(tell)

    def _show(self, state: RuntimeState) -> None:
        before = self.watch.value
        if state != before:
            self.watch.set(state)
            for tell in tuple(self._listeners) if state.models != before.models else ():
                tell()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Look after the server until cancelled; answers under way fail then with a reason."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            task_status.started()
            try:
                while True:
                    self._look_now = trio.Event()
                    http = self._http
                    state = await self._look()
                    if http is self._http:  # else it is the state of a server that is no longer asked
                        self._show(state)
                    await self._close_left()
                    with trio.move_on_after(until_beat(LOOK_S, trio.current_time())):
                        await self._look_now.wait()
            finally:
                self._nursery = None
                nursery.cancel_scope.cancel()
                with trio.move_on_after(CLOSE_S, shield=True):
                    for http in (*self._left, self._http):
                        await http.aclose()

    async def _close_left(self) -> None:
        """Connections to servers that the configuration no longer names, once no answer comes over them."""
        for http in [h for h in self._left if not h.open]:
            self._left.remove(http)
            await http.aclose()

    # ── what is there ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def _look(self) -> RuntimeState:
        settings, http = self._settings, self._http
        try:
            if not self._loaded:
                await http.reachable(LOOK_LIMIT_S)
            models = await self._models(settings, http)
        except RuntimeFailure as error:
            self._loaded = False
            return RuntimeState(settings.kind, settings.base_url, up=False, reason=str(error))
        self._loaded = http is self._http
        return RuntimeState(settings.kind, settings.base_url, True, "", models)

    async def _models(self, settings: RuntimeSettings, http: Http) -> tuple[Model, ...]:
        if settings.kind == "openai":
            return models.relabelled(await self._openai_models(settings, http), settings.models)
        tags = models.ollama_tags(await http.look("/api/tags", LOOK_LIMIT_S))
        for tag, digest in tags.items():
            if (tag, digest) not in self._known:
                shown = await self._shown(http, tag)
                self._known[tag, digest] = models.ollama_model(tag, shown)
        self._known = {key: model for key, model in self._known.items() if tags.get(key[0]) == key[1]}
        found = [self._known[item] for item in tags.items()]
        return models.relabelled(found, [m for m in settings.models if m.tag in tags])

    async def _openai_models(self, settings: RuntimeSettings, http: Http) -> Sequence[Model]:
        try:
            return models.openai_models(await http.look("/models", LOOK_LIMIT_S))
        except RuntimeFailure as error:
            if error.kind == "refused" and error.status == 404 and settings.models:
                return ()  # a server without a list, whose models the configuration names
            raise

    async def _shown(self, http: Http, tag: str) -> Json:
        """What Ollama tells about a model; a model that it cannot tell about is there all the same."""
        try:
            return await http.look("/api/show", LOOK_LIMIT_S, {"model": tag})
        except RuntimeFailure as error:
            if error.kind == "down":
                raise
            return None

    def _unseen(self) -> RuntimeState:
        return RuntimeState(self._settings.kind, self._settings.base_url, False, self._settings.problem or _UNKNOWN)

    # ── answers ───────────────────────────────────────────────────────────────────────────────────────────────────────

    @asynccontextmanager
    async def chat(self, tag: str, request: ChatRequest) -> AsyncIterator[Answer]:
        """The pieces of an answer. Leaving the block closes the request within a second, also before the first piece.

        Iterating raises RuntimeFailure.
        """
        if self._nursery is None:
            raise RuntimeFailure("stopped", "the app is stopping")
        settings = self._settings
        if settings.kind == "openai":
            answer = Answer(self._http, "/chat/completions", openai_chat(tag, request), OpenAiReader())
        else:
            body = ollama_chat(tag, request, settings.keep_alive)
            answer = Answer(self._http, "/api/chat", body, OllamaReader())
        self._nursery.start_soon(answer.read)
        self.running += 1
        try:
            yield answer
        finally:
            self.running -= 1
            await answer.leave()

    async def embeddings(self, tag: str, members: JsonObject) -> JsonObject:
        """The answer of `/embeddings` in OpenAI's shape, for its request members. Raises RuntimeFailure."""
        if self._settings.kind == "openai":
            return as_object(await self._http.post("/embeddings", {**members, "model": tag}, EMBED_S))
        body = {"model": tag, "input": members.get("input"), "keep_alive": self._settings.keep_alive}
        answer = tolerant(OllamaEmbeddings, await self._http.post("/api/embed", body, EMBED_S))
        if answer.embeddings is None:
            raise RuntimeFailure("garbage", "the model server's answer holds no embeddings")
        count = answer.prompt_eval_count or 0
        return {
            "object": "list",
            "model": tag,
            "data": [{"object": "embedding", "index": i, "embedding": v} for i, v in enumerate(answer.embeddings)],
            "usage": {"prompt_tokens": count, "total_tokens": count},
        }

    async def preload(self, tag: str) -> bool:
        """Have a model loaded before it is needed; False where the server decides that by itself."""
        if self._settings.kind == "openai":
            return False
        body = {"model": tag, "keep_alive": self._settings.keep_alive}
        await self._http.post("/api/generate", {**body, "stream": False}, PRELOAD_S)
        return True
