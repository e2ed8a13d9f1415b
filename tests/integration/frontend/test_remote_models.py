"""Two devices as real processes: one has models, the other asks them (spec 08 S8, §9.4, FE-10.5)."""

from __future__ import annotations

import contextlib
import json
import shutil
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import openai
import pytest

from e2e.devices import Pair, demo, eventually
from support.devices import free_port
from support.model_servers import scripted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.model_servers import ModelServer

TAG = "gemma4:e2b"
THERE = f"{TAG}@Boris"
HELLO: list[Any] = [{"role": "user", "content": "hello"}]
SHELL: Any = {"type": "function", "function": {"name": "shell", "parameters": {"type": "object", "properties": {}}}}


def configure(device: Any, **sections: Any) -> None:
    """Write members of the device's `config.json`, as a person would."""
    path = device.home / ".myownllm" / "config.json"
    config = json.loads(path.read_text()) if path.exists() else {}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**config, **sections}, indent=2))


class World:
    """Anna asks, Boris has the models; both apps are up and connected."""

    def __init__(self, pair: Pair, server: ModelServer, ports: dict[str, int]) -> None:
        self.pair, self.server, self.ports = pair, server, ports
        self.anna, self.boris = pair.both
        self.client = openai.OpenAI(base_url=self.url("Anna"), api_key="none", timeout=20)

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.ports[name]}/v1"

    def models(self) -> list[str]:
        return [m.id for m in self.client.models.list()]

    def wait_for_models(self, *expected: str, seconds: float = 20.0) -> float:
        """How long it took until exactly these were listed at Anna."""
        began = time.monotonic()
        eventually(lambda: sorted(self.models()) == sorted(expected), f"models {expected}", seconds)
        return time.monotonic() - began

    def chat(self, model: str = THERE, **members: Any) -> Any:
        return self.client.chat.completions.create(model=model, messages=HELLO, **members)


@pytest.fixture(scope="module")
def meeting() -> Iterator[World]:
    base = demo.temporary_base()
    pair = Pair(base)
    ports = {device.name: free_port() for device in pair.both}
    with scripted() as server, contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, base, ignore_errors=True)
        stack.callback(pair.stop)
        for device in pair.both:
            runtime = {"kind": "ollama", "base_url": server.url} if device is pair.boris else {"kind": "none"}
            configure(device, runtime=runtime, api={"port": ports[device.name]})
        pair.up()
        pair.meet()
        yield World(pair, server, ports)


@pytest.fixture
def world(meeting: World) -> World:
    """The same two devices for every test, with a model server that behaves."""
    meeting.server.behave(
        models=[TAG], words=5, delay_s=0.0, fault="", fault_after=0, tool="", arguments={"command": "ls"}
    )
    meeting.wait_for_models(THERE)
    return meeting


def test_a_model_of_a_peer_answers(world: World) -> None:
    whole = world.chat()
    assert whole.choices[0].message.content == "word0 word1 word2 word3 word4 "
    assert whole.choices[0].finish_reason == "stop"
    said = [c.choices[0].delta.content or "" for c in world.chat(stream=True)]
    assert "".join(said) == whole.choices[0].message.content
    assert world.server.chats()[-1]["body"]["model"] == TAG


def test_s8_a_pulled_model_is_seen_within_five_seconds(world: World) -> None:
    world.server.behave(models=[TAG, "qwen3:8b"])
    assert world.wait_for_models(THERE, "qwen3:8b@Boris") < 5
    world.chat("qwen3:8b@Boris", temperature=0, max_tokens=9)
    asked = world.server.chats()[-1]["body"]
    assert (asked["model"], asked["options"]) == ("qwen3:8b", {"temperature": 0, "num_predict": 9})
    with pytest.raises(openai.NotFoundError, match="has no model 'llama'"):
        world.chat("llama@Boris")


def test_tools_pass_through_and_are_never_run_by_the_host(world: World) -> None:
    world.server.behave(tool="shell")
    answer = world.chat(tools=[SHELL])
    [call] = answer.choices[0].message.tool_calls
    assert (call.function.name, json.loads(call.function.arguments)) == ("shell", {"command": "ls"})
    assert answer.choices[0].finish_reason == "tool_calls"
    messages = [
        *HELLO,
        answer.choices[0].message.model_dump(exclude_none=True),
        {"role": "tool", "tool_call_id": call.id, "content": "x.txt"},
    ]
    again = world.client.chat.completions.create(model=THERE, messages=messages, tools=[SHELL])
    assert again.choices[0].message.content.endswith("result: x.txt")


@pytest.mark.parametrize("words", [0, 2])
def test_whoever_leaves_ends_the_work_at_the_peer(world: World, words: int) -> None:
    world.server.behave(fault="hang", fault_after=words)
    count = len(world.server.chats())
    request = urllib.request.Request(
        world.url("Anna") + "/chat/completions",
        json.dumps({"model": THERE, "messages": HELLO, "stream": True}).encode(),
    )
    if words:
        with urllib.request.urlopen(request, timeout=20) as answer:
            assert answer.readline().startswith(b"data: ")
            left = time.monotonic()
    else:
        with pytest.raises(TimeoutError):
            urllib.request.urlopen(request, timeout=0.5)
        left = time.monotonic()
        assert len(world.server.chats()) == count + 1, "it was being asked when its caller left"
    assert world.server.closed_chat()["closed"] - left < 1


@pytest.mark.parametrize("fault", ["500", "garbage", "half", "reset", "error", "empty"])
@pytest.mark.parametrize("words", [0, 2])
def test_a_failing_model_server_is_an_error_with_its_reason(world: World, fault: str, words: int) -> None:
    world.server.behave(fault=fault, fault_after=words)
    with pytest.raises(openai.APIError) as caught:
        world.chat()
    assert len(caught.value.message) > 20
    with pytest.raises(openai.APIError):
        for _ in world.chat(stream=True):
            pass


def test_two_are_served_and_the_third_is_told_that_the_host_is_busy(world: World) -> None:
    world.server.behave(delay_s=0.2, words=10)
    first, second = world.chat(stream=True), world.chat(stream=True)
    began = time.monotonic()
    with pytest.raises(openai.RateLimitError, match="busy"):
        world.chat()
    assert time.monotonic() - began < 2
    for stream in (first, second):
        stream.close()
    eventually(lambda: all(c["closed"] or c["done"] for c in world.server.chats()), "the work ends")


def test_a_pinned_device_answers_questions_without_a_model(world: World) -> None:
    with pytest.raises(openai.APIStatusError, match="names no model server"):
        world.chat("default")
    pins = world.anna.home / ".myownllm" / "pins.json"
    boris = world.client.models.list().data[0].model_extra["myownllm"]["device"]
    pins.write_text(json.dumps({"text": boris}))
    try:
        assert world.chat("default").choices[0].message.content.startswith("word0")
        pins.write_text(json.dumps({"text": "a" * 52}))
        with pytest.raises(openai.APIStatusError, match="Pinned peer is offline"):
            world.chat("default")
    finally:
        pins.unlink()


def test_the_api_refuses_pages_of_other_origins(world: World) -> None:
    for header in ({"Origin": "http://evil.example"}, {"Host": "evil.example"}):
        request = urllib.request.Request(world.url("Anna") + "/models", headers=header)
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(request, timeout=5)
        with caught.value:
            assert caught.value.code == 403


def test_the_model_server_dies_in_the_middle_and_comes_back(world: World) -> None:
    world.server.behave(delay_s=0.2, words=50)
    stream = world.chat(stream=True)
    next(iter(stream))
    world.server.kill()
    with pytest.raises(openai.APIError, match="model server"):
        for _ in stream:
            pass
    assert world.wait_for_models() < 5, "a device without its model server offers nothing"
    with scripted(world.server.port):
        assert world.wait_for_models(THERE) < 6
        assert world.chat().choices[0].message.content


def test_a_device_that_is_away_is_an_error_at_once(meeting: World) -> None:
    meeting.pair.boris.stop()
    eventually(
        lambda: (
            meeting.anna.run("peers")["peers"] in ([], None)
            or all(p["status"] not in ("active", "shelved") for p in meeting.anna.run("peers")["peers"])
        ),
        "Boris is away",
        60,
    )
    began = time.monotonic()
    with pytest.raises(openai.APIStatusError, match="offline"):
        meeting.chat()
    meeting.models()
    assert time.monotonic() - began < 1
