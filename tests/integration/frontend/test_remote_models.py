"""Two devices as real processes: one has models, the other asks them (spec 08 S8, FE-9.16 to FE-9.19, FE-10.5)."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import openai
import pytest

from e2e.devices import Pair, demo, eventually
from integration.chaos.faults import daemons
from myownllm.door import client as door
from myownllm.errors import DoorError
from support.contention import Contention
from support.examples import few
from support.model_servers import scripted
from support.ports import free_port

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

    def __init__(self, pair: Pair, servers: contextlib.ExitStack, server: ModelServer, ports: dict[str, int]) -> None:
        self.pair, self.server, self.ports = pair, server, ports
        self._servers = servers
        self.anna, self.boris = pair.both
        self.client = openai.OpenAI(base_url=self.url("Anna"), api_key="none", timeout=20)

    def serve(self) -> None:
        """Start the model server again if a test has ended it."""
        if self.server.process.poll() is not None:
            self.server = self._servers.enter_context(scripted(self.server.port))

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
    with contextlib.ExitStack() as servers, contextlib.ExitStack() as stack:
        server = servers.enter_context(scripted())
        stack.callback(shutil.rmtree, base, ignore_errors=True)
        stack.callback(pair.stop)
        for device in pair.both:
            runtime = {"kind": "ollama", "base_url": server.url} if device is pair.boris else {"kind": "none"}
            configure(device, runtime=runtime, api={"port": ports[device.name]})
        pair.up()
        pair.meet()
        yield World(pair, servers, server, ports)


@pytest.fixture
def world(meeting: World) -> World:
    """The same two devices for every test, with a model server that behaves."""
    meeting.serve()
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
    asked = {"model": THERE, "messages": HELLO, "stream": True}
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", world.ports["Anna"], timeout=20)) as caller:
        caller.request("POST", "/v1/chat/completions", json.dumps(asked), {"Content-Type": "application/json"})
        if words:
            assert caller.getresponse().readline().startswith(b"data: ")
        eventually(lambda: len(world.server.chats()) == count + 1, "it is being asked", 20)
        left, contention = time.monotonic(), Contention()
    assert world.server.closed_chat()["closed"] - left < contention.stretched(1)


def test_embeddings_are_made_where_the_model_is(world: World) -> None:
    """`tag@device` runs there; a model that only makes embeddings is listed, and answers no chat."""
    world.server.behave(models=[TAG, "nomic-embed"])
    world.wait_for_models(THERE, "nomic-embed@Boris")
    texts = ["abc", "x" * 100_000]  # more than a mesh frame holds
    for model in (THERE, "nomic-embed@Boris"):
        made = world.client.embeddings.create(model=model, input=texts, encoding_format="float")
        assert [d.embedding for d in made.data] == [[3.0, 0.5], [100_000.0, 0.5]]
    with pytest.raises(openai.NotFoundError, match="no model"):
        world.chat("nomic-embed@Boris")
    with pytest.raises(openai.NotFoundError, match="Boris has no model 'llama'"):
        world.client.embeddings.create(model="llama@Boris", input="x")
    with pytest.raises(openai.APIStatusError, match="No device called 'Carla'"):
        world.client.embeddings.create(model="nomic-embed@Carla", input="x")
    world.server.behave(fault="hang")
    with pytest.raises(openai.APITimeoutError):
        world.client.with_options(timeout=0.5, max_retries=0).embeddings.create(model="nomic-embed@Boris", input="x")
    left = time.monotonic()
    assert world.server.closed_chat()["closed"] - left < 1


@pytest.mark.parametrize("size", few([5, 300_000], every=2), ids=["whole", "in parts"])
def test_a_killed_app_ends_its_work_at_the_peer(world: World, size: int) -> None:
    """Nobody can say any more that the answer is not wanted, but for the daemon (FE-9.7)."""
    world.server.behave(fault="hang", fault_after=2)
    messages = [{"role": "user", "content": "x" * size}]
    body = json.dumps({"model": THERE, "messages": messages, "stream": True}).encode()
    with urllib.request.urlopen(urllib.request.Request(world.url("Anna") + "/chat/completions", body)) as answer:
        assert answer.readline().startswith(b"data: ")
        left = time.monotonic()
        world.anna.kill_app()
    closed = world.server.closed_chat()["closed"] - left
    world.anna.up("--label", "Anna")
    eventually(lambda: active(world.anna) == ["Boris"], "Anna is back; her relay, too, was started anew twice", 60)
    assert closed < 1


@pytest.mark.parametrize("fault", few(["500", "garbage", "half", "reset", "error", "empty"], every=3))
@pytest.mark.parametrize("words", [0, 2])
def test_a_failing_model_server_is_an_error_with_its_reason(world: World, fault: str, words: int) -> None:
    world.server.behave(fault=fault, fault_after=words)
    with pytest.raises(openai.APIError) as caught:
        world.chat()
    assert len(caught.value.message) > 20
    with pytest.raises(openai.APIError):
        for _ in world.chat(stream=True):
            pass


def test_s8_a_busy_device_says_so_at_once(world: World) -> None:
    world.boris.run("settings", "accepting", "busy")
    try:
        eventually(lambda: [m.model_extra["myownllm"]["state"] for m in world.client.models.list()] == ["busy"], "busy")
        count = len(world.server.chats())
        with pytest.raises(openai.RateLimitError, match="busy: Boris"):
            world.chat()
        with pytest.raises(demo.DemoError, match="busy"):
            world.anna.run("infer", "hello", "--peer", "Boris")
        assert len(world.server.chats()) == count
    finally:
        world.boris.run("settings", "accepting", "available")
        eventually(
            lambda: [m.model_extra["myownllm"]["state"] for m in world.client.models.list()] == ["available"], "back"
        )


def test_two_are_served_and_the_third_is_told_that_the_host_is_busy(world: World) -> None:
    world.server.behave(delay_s=0.2, words=10)
    first, second = world.chat(stream=True), world.chat(stream=True)
    began, contention = time.monotonic(), Contention()
    with pytest.raises(openai.RateLimitError, match="busy"):
        world.chat()
    assert time.monotonic() - began < contention.stretched(2)
    for stream in (first, second):
        stream.close()
    eventually(lambda: all(c["closed"] or c["done"] for c in world.server.chats()), "the work ends")


def test_a_device_without_a_model_names_those_that_have_one(world: World) -> None:
    with pytest.raises(demo.DemoError, match=r"a device with a model is Boris: `--peer` asks it once"):
        world.anna.run("infer", "hello")
    assert world.anna.run("infer", "hello", "--peer", "Boris")["model"] == TAG, "what it chooses is told"


def test_a_pinned_device_answers_questions_without_a_model(world: World) -> None:
    with pytest.raises(openai.APIStatusError, match="names no model server"):
        world.chat("default")
    with pytest.raises(demo.DemoError, match="names no model server"):
        world.anna.run("infer", "hello")
    [boris] = world.anna.run("pin", "text", "Boris")["pins"].values()
    try:
        assert world.chat("default").choices[0].message.content.startswith("word0")
        assert world.anna.run("infer", "hello")["device"] == "Boris"
        (world.anna.home / ".myownllm" / "pins.json").write_text(json.dumps({"text": "a" * 52}))
        with pytest.raises(openai.APIStatusError, match="Pinned peer is offline"):
            world.chat("default")
    finally:
        assert world.anna.run("pin", "text", "--clear")["pins"] == {}
    assert len(boris) == 52


# ── commands ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_person_asks_a_peer(world: World) -> None:
    listed = world.anna.run("models")
    assert [m["id"] for m in listed["models"]] == [THERE]
    assert listed["api"]["url"] == world.url("Anna")
    answer = world.anna.run("infer", "what", "--peer", "boris", "--max-tokens", "7")
    assert answer["response"] == "word0 word1 word2 word3 word4 "
    asked = world.server.chats()[-1]["body"]
    assert (asked["messages"], asked["options"]) == ([{"role": "user", "content": "what"}], {"num_predict": 7})
    any_with = world.anna.run("infer", "what", "--family", "gemma4")
    assert (any_with["device"], any_with["model"]) == ("Boris", TAG)
    assert world.boris.run("infer", "what", "--family", "gemma4")["device"] == "this device"
    socket = world.anna.home / ".myownllm" / "app.sock"
    with (
        pytest.raises(DoorError, match="has a model of the family 'llama'"),
        door.asking(socket, "infer", timeout_s=20, messages=HELLO, family="llama") as refused,
    ):
        list(refused)
    done = subprocess.run(
        [str(demo.BIN / "myownllm"), "infer", "sum up", "-", "--model", THERE],
        env=world.anna.environment(),
        input="a text",
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    assert done.stdout == "word0 word1 word2 word3 word4 \n"
    assert world.server.chats()[-1]["body"]["messages"][-1]["content"] == "sum up\na text"


@pytest.mark.parametrize("words", [0, 2])
@pytest.mark.parametrize("size", [5, 300_000], ids=["whole", "in parts"])
def test_ctrl_c_ends_the_work_at_the_peer(world: World, words: int, size: int) -> None:
    world.server.behave(fault="hang", fault_after=words)
    count = len(world.server.chats())
    process = subprocess.Popen(
        [str(demo.BIN / "myownllm"), "infer", "hello", "-", "--model", THERE],
        env=world.anna.environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin is not None
    process.stdin.write(b"x" * size)
    process.stdin.close()
    with process:
        eventually(lambda: len(world.server.chats()) > count, "the peer is asked")
        if words:
            assert process.stdout is not None
            assert process.stdout.read(5) == b"word0"
        resources = ask_app(world.anna)["resources"]["outbound_infers"]
        assert [r["peer_label"] for r in resources] == ["Boris"]
        process.send_signal(signal.SIGINT)
        left = time.monotonic()
        assert process.wait(5) == 130
    assert world.server.closed_chat()["closed"] - left < 1
    eventually(lambda: not ask_app(world.anna)["resources"]["outbound_infers"], "nothing is under way")


def ask_app(device: Any, operation: str = "state", **members: Any) -> Any:
    return door.ask(device.home / ".myownllm" / "app.sock", operation, timeout_s=10, **members)


def test_work_is_ended_from_either_device(world: World) -> None:
    world.server.behave(delay_s=0.1, words=200)
    for device, kind, says in ((world.anna, "outbound_infers", "ended"), (world.boris, "inbound_infers", "ended")):
        stream = world.chat(stream=True)
        next(iter(stream))
        [entry] = ask_app(device)["resources"][kind]
        ask_app(device, "cancel", id=entry["id"])
        with pytest.raises(openai.APIError, match=says):
            for _ in stream:
                pass
        assert world.server.closed_chat()["closed"]


def test_functions_run_where_the_question_was_asked_and_only_if_allowed(world: World) -> None:
    world.server.behave(tool="shell", arguments={"command": "echo from-$HOME"})
    asking = ("infer", "look", "--model", THERE, "--function", "shell")
    denied = world.anna.run(*asking)
    assert denied["response"].endswith("result: refused: the user does not allow this")
    world.anna.run("policy", "allow", "shell", "echo from-$HOME")
    allowed = world.anna.run(*asking)
    assert f"from-{world.anna.home}" in allowed["response"]
    assert "[exit status 0]" in allowed["response"]


def test_a_question_to_the_person_is_answered_at_the_door(world: World) -> None:
    path = world.anna.home / "made.txt"
    world.server.behave(tool="write_file", arguments={"path": str(path), "content": "hi"})
    members = {"messages": HELLO, "model": THERE, "functions": ["write_file"]}
    with door.asking(world.anna.home / ".myownllm" / "app.sock", "infer", timeout_s=20, **members) as answer:
        for item in answer:
            if "wants" in item:
                assert ask_app(world.anna, "gate") == [item["wants"]]
                assert not path.exists()
                ask_app(world.anna, "gate_answer", id=item["wants"]["id"], choice="allow_once")
    assert path.read_text() == "hi"
    assert ask_app(world.anna, "gate") == []


def test_the_api_refuses_pages_of_other_origins(world: World) -> None:
    for header in ({"Origin": "http://evil.example"}, {"Host": "evil.example"}):
        request = urllib.request.Request(world.url("Anna") + "/models", headers=header)
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(request, timeout=5)
        with caught.value:
            assert caught.value.code == 403


def test_the_model_server_dies_in_the_middle_and_comes_back(world: World) -> None:
    """FE-12.50"""
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


@pytest.mark.slow
@pytest.mark.parametrize(
    ("way", "limit_s"),
    [(signal.SIGKILL, 20.0), (signal.SIGSTOP, 40.0)],
    ids=["killed", "unreachable"],
)
def test_a_device_that_is_gone_without_a_word_ends_its_answers_with_the_reason(
    world: World, way: signal.Signals, limit_s: float
) -> None:
    """App and daemon at once, in the middle of an answer: nobody says goodbye (FE-9.8)."""
    world.server.behave(fault="hang", fault_after=2)
    stream = world.client.with_options(timeout=60).chat.completions.create(model=THERE, messages=HELLO, stream=True)
    next(iter(stream))
    gone = [world.boris.pid, *daemons(world.boris.home)]
    try:
        for pid in gone:
            os.kill(pid, way)
        began, contention = time.monotonic(), Contention()
        with pytest.raises(openai.APIError, match=r"the link to Boris went down|the app on Boris ended"):
            for _ in stream:
                pass
        assert time.monotonic() - began < contention.stretched(limit_s)
        assert ask_app(world.anna)["resources"]["outbound_infers"] == []
    finally:
        if way == signal.SIGSTOP:
            for pid in gone:
                os.kill(pid, signal.SIGCONT)
        else:
            world.boris.kill_app()
            world.boris.up("--label", "Boris")
    eventually(lambda: active(world.anna) == ["Boris"], "Boris is back", 60)
    world.wait_for_models(THERE)  # over the link that stays


def test_a_device_that_leaves_ends_its_answers_and_is_an_error_from_then_on(meeting: World) -> None:
    meeting.server.kill()
    meeting.wait_for_models()  # until then the one that is gone is listed
    with scripted(meeting.server.port) as server:
        server.behave(delay_s=0.1, words=600)
        meeting.wait_for_models(THERE)
        stream = meeting.chat(stream=True)
        next(iter(stream))
        meeting.pair.boris.stop()
        with pytest.raises(openai.APIError):
            for _ in stream:
                pass
        assert server.closed_chat()["closed"]
    eventually(lambda: active(meeting.anna) == [], "Boris is away", 60)
    began, contention = time.monotonic(), Contention()
    with pytest.raises(openai.APIStatusError, match=r"offline|No device called"):
        meeting.chat()
    meeting.models()
    assert time.monotonic() - began < contention.stretched(1)


def active(device: Any) -> list[str]:
    return [p["label"] for p in device.run("peers")["peers"] if p["status"] in ("active", "shelved")]
