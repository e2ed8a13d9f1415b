"""Model servers as processes, and how the app gets on with them: answers, faults at every moment, leaving, changes."""

from __future__ import annotations

import sys
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import trio

from myownllm.runtimes import RuntimeFailure, Runtimes, RuntimeSettings
from myownllm.runtimes.chat import ChatRequest, Delta, Finished, ToolCall
from support.model_servers import llama, scripted

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from myownllm.runtimes.chat import Piece
    from support.model_servers import ModelServer

KINDS = ("ollama", "openai")
TAG = "gemma4:e2b"
TOOL = {"type": "function", "function": {"name": "shell", "parameters": {}}}
WORDS = Delta("word0 word1 word2 word3 word4 ")


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with scripted() as running:
        yield running


@asynccontextmanager
async def runtimes(kind: Any, server: ModelServer) -> AsyncIterator[Runtimes]:
    running = Runtimes(RuntimeSettings(kind, server.url + ("/v1" if kind == "openai" else "")))
    async with trio.open_nursery() as nursery:
        await nursery.start(running.run)
        with trio.fail_after(10):
            await running.watch.until(lambda s: s.up)
        yield running
        nursery.cancel_scope.cancel()


async def ask(running: Runtimes, tag: str = TAG, **members: Any) -> list[Piece]:
    """The whole answer in few pieces."""
    pieces: list[Piece] = []
    request = ChatRequest(({"role": "user", "content": "hello"},), **members)
    with trio.fail_after(20):
        async with running.chat(tag, request) as answer:
            async for some in answer:
                pieces += some
    text = "".join(p.text for p in pieces if isinstance(p, Delta))
    return [*([Delta(text)] if text else []), *(p for p in pieces if isinstance(p, ToolCall | Finished))]


@pytest.mark.parametrize("kind", KINDS)
async def test_answers_and_every_fault_at_every_moment(kind: str, server: ModelServer) -> None:
    async with runtimes(kind, server) as running:
        assert [(m.tag, m.family) for m in running.state.models] == [(TAG, "gemma4")]
        assert await ask(running) == [WORDS, Finished()]
        server.behave(tool="shell", arguments={"command": "ls -la"})
        called, end = await ask(running, tools=(TOOL,))
        assert isinstance(called, ToolCall)
        assert (called.name, called.arguments) == ("shell", {"command": "ls -la"})
        assert isinstance(end, Finished)
        with pytest.raises(RuntimeFailure, match="404: model 'nope' not found"):
            await ask(running, "nope")
        for fault in ("garbage", "half", "500", "reset", "error", "endless", "empty"):
            for after in (0, 2):
                server.behave(fault=fault, fault_after=after)
                with pytest.raises(RuntimeFailure) as caught:
                    await ask(running)
                assert len(str(caught.value)) > 15, "a sentence with the reason"
        server.behave(fault="")
        assert await ask(running) == [WORDS, Finished()], "one fault harms no other answer"


@pytest.mark.parametrize("kind", KINDS)
async def test_leaving_closes_the_request_before_and_behind_the_first_word(kind: str, server: ModelServer) -> None:
    async with runtimes(kind, server) as running:
        for words in (0, 2):
            server.behave(fault="hang", fault_after=words)
            before = len(server.chats())
            async with trio.open_nursery() as nursery:
                nursery.start_soon(ask, running)
                with trio.fail_after(10):
                    while len(await trio.to_thread.run_sync(server.chats)) == before:
                        await trio.sleep(0.02)
                await trio.sleep(0.2)  # the first words arrive
                left = time.monotonic()
                nursery.cancel_scope.cancel()
            assert server.closed_chat()["closed"] - left < 1
            assert running.running == 0


async def test_a_server_that_says_nothing_is_given_up(server: ModelServer, monkeypatch: pytest.MonkeyPatch) -> None:
    async with runtimes("ollama", server) as running:
        assert await ask(running) == [WORDS, Finished()]  # the first question of a process loads httpx
        monkeypatch.setattr("myownllm.runtimes.stream.FIRST_S", 0.3)
        monkeypatch.setattr("myownllm.runtimes.stream.IDLE_S", 0.2)
        for words in (0, 2):
            server.behave(fault="hang", fault_after=words)
            with pytest.raises(RuntimeFailure, match="gone silent"):
                await ask(running)
            assert server.closed_chat()["closed"]


async def test_changes_are_seen_and_told_within_five_seconds(server: ModelServer) -> None:
    async with runtimes("ollama", server) as running:
        with trio.fail_after(5):
            server.behave(models=[TAG, "nomic-embed"])
            state = await running.watch.until(lambda s: len(s.models) == 2)
        assert [m.tag for m in state.chat_models] == [TAG], "a model for embeddings answers nobody"
        assert (await running.embeddings("nomic-embed", {"input": ["abc"]}))["data"][0]["embedding"] == [3.0, 0.5]
        assert await running.preload(TAG)
        before = len(server.ask("/test")["other"])
        server.kill()
        with trio.fail_after(5):
            state = await running.watch.until(lambda s: not s.up)
        assert (state.models, "no model server at" in state.reason) == ((), True)
        with pytest.raises(RuntimeFailure, match="no model server") as caught:
            await ask(running)
        assert caught.value.kind == "down"
        with scripted(server.port), trio.fail_after(5):
            await running.watch.until(lambda s: s.up)
    assert before > 0


@pytest.mark.parametrize("kind", KINDS)
async def test_looks_at_a_server_of_this_machine_need_no_httpx(
    kind: str, server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "httpx", None)  # importing it fails from here on
    async with runtimes(kind, server) as running:
        server.behave(models=[TAG, "other:1b"])
        with trio.fail_after(5):
            await running.watch.until(lambda s: [m.tag for m in s.models] == [TAG, "other:1b"])
        server.kill()
        with trio.fail_after(5):
            state = await running.watch.until(lambda s: not s.up)
    assert "no model server at" in state.reason


async def test_the_app_ends_while_a_model_speaks(server: ModelServer) -> None:
    server.behave(fault="hang", fault_after=2)
    said: list[object] = []

    async def listen() -> None:
        try:
            await ask(running)
        except RuntimeFailure as error:
            said.append(error.kind)

    async with trio.open_nursery() as outer, runtimes("ollama", server) as running:
        outer.start_soon(listen)
        await trio.sleep(0.2)
    assert said == ["stopped"]


async def test_other_settings_take_over_and_answers_under_way_end_where_they_began(server: ModelServer) -> None:
    server.behave(delay_s=0.1)
    async with runtimes("ollama", server) as running, trio.open_nursery() as nursery:
        answers: list[list[Piece]] = []

        async def listen() -> None:
            answers.append(await ask(running))

        nursery.start_soon(listen)
        await trio.sleep(0.15)
        with scripted() as second:
            second.behave(models=["other"])
            running.use(RuntimeSettings("ollama", second.url))
            with trio.fail_after(5):
                state = await running.watch.until(lambda s: s.up)
            assert [m.tag for m in state.models] == ["other"]
    assert answers == [[WORDS, Finished()]]


async def test_a_look_under_way_at_the_former_server_is_not_the_state_of_the_next(server: ModelServer) -> None:
    with scripted() as second:
        second.behave(models=["other"])
        async with runtimes("ollama", server) as running:
            server.behave(look_delay_s=1.0)
            looks = server.ask("/test")["other"].count("/api/tags")
            with trio.fail_after(20):
                while server.ask("/test")["other"].count("/api/tags") == looks:
                    await trio.sleep(0.02)
                running.use(RuntimeSettings("ollama", second.url))
                state = await running.watch.until(lambda s: s.up)
            assert [m.tag for m in state.models] == ["other"]


async def test_a_real_model_server_streams_and_is_left(tmp_path: Path) -> None:
    with llama(tmp_path) as server:
        async with runtimes("openai", server) as running:
            model = running.state.models[0]
            assert model.context_length == 2048
            words, end = await ask(running, model.tag, options={"max_tokens": 40, "seed": 3})
            assert isinstance(words, Delta)
            assert len(words.text) > 40
            assert isinstance(end, Finished)
            request = ChatRequest(({"role": "user", "content": "w1"},), options={"max_tokens": 2000})
            async with running.chat(model.tag, request) as answer:
                assert await anext(answer)
            slots = server.ask("/slots")
            deadline = time.monotonic() + 1
            while any(slot["is_processing"] for slot in slots):
                assert time.monotonic() < deadline
                await trio.sleep(0.02)
                slots = server.ask("/slots")


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", f"http://{'x' * 70}.example", "http://no-such-host.invalid"])
async def test_an_address_where_nobody_is_has_a_reason(url: str) -> None:
    running = Runtimes(RuntimeSettings("openai", url))
    async with trio.open_nursery() as nursery:
        await nursery.start(running.run)
        with trio.fail_after(10):
            state = await running.watch.until(lambda s: url in s.reason)
        assert not state.up
        for tag in (TAG, "\ud800"):
            with pytest.raises(RuntimeFailure):
                await ask(running, tag)
        nursery.cancel_scope.cancel()
