"""A hostile approved peer against a running app: every field of every method and channel, over real links.

Boris's daemon sends what no app would. Anna's app is the victim; Carla is an honest friend of hers who notices nothing
(spec 08 FE-9.3, FE-9.10, FE-9.20, FE-9.29, FE-9.36, FE-12.36, FE-12.48, FE-12.49).
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import shutil
import threading
import time
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from e2e.devices import Pair, ask, demo, eventually
from mesh_common.client.errors import ControlError, ErrorKind
from myownllm.door import client as door
from support.contention import Contention
from support.devices import Wire
from support.model_servers import scripted

if TYPE_CHECKING:
    from collections.abc import Iterator

FUTURE_MS = 2**52
DEEP = json.loads("[" * 90 + "]" * 90)
"""As deep as our own daemon lets it pass."""
VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 1.5, 2**63, 10**40, "", "../../config", "CON", "a\u202egpj.exe", "x\0y", "/etc/passwd", "é" * 26,
    "x" * 40_000, [], ["x"] * 3000, DEEP, {}, {"a": DEEP}, {str(n): n for n in range(2000)},
)  # fmt: skip
SHARES = 3
TALK: dict[str, Any] = {"id": "talk-1", "title": "T", "messages": [{"role": "user", "content": "hi"}]}
METHODS: dict[str, dict[str, Any]] = {
    "echo": {"n": 1},
    "about": {},
    "file_offer": {"id": "0" * 16, "filename": "a.txt", "size_bytes": 5, "sha256_b32": "a" * 52, "chunk_size": 46_080,
                   "mime_type": "text/plain", "resume": True},
    "session_fetch": {"guid": "talk-1"},
    "session_save": {"conversation": TALK, "base_updated_at": "2026-01-01T00:00:00Z"},
    "move_take": {"guid": "talk-1", "conversation": TALK, "source_folder": "Work"},
    "move_drop": {"guid": "talk-1"},
    "embed": {"model": "gemma4:e2b", "input": ["x"], "dimensions": 8, "encoding_format": "float"},
}  # fmt: skip
STREAMS: dict[str, dict[str, Any]] = {
    "infer": {"messages": [{"role": "user", "content": "hi"}], "family": "gemma4", "mode": "text", "think": False,
              "tools": [], "stream_id": "00ff", "model": "gemma4:e2b", "options": {"temperature": 0}},
    "transcribe": {"runtime": "", "model": "", "diarize_model": None, "sample_rate": 16_000, "stream_id": "00ff",
                   "window": True},
    "file_send": {"id": "0" * 16},
    "count": {"to": 3, "delay_ms": 0},
}  # fmt: skip
GATE: dict[str, Any] = {"mode": "denied", "always_accept": ["ls"], "updated_at": 5}
PROMPT: dict[str, Any] = {"id": "prm-1", "name": "P", "system_prompt": "s", "tools": ["shell"], "user_prompt": "",
                          "updated_at": FUTURE_MS}  # fmt: skip
CHANNELS: dict[str, dict[str, Any]] = {
    "rpc/cancel": {"stream_id": "00ff"},
    "blob/v1": {"id": "0" * 16, "index": 0, "total": 1, "bytes_b64": "AAAA"},
    "file_chunks/0000000000000000": {"index": 0, "bytes_b64": "AAAA", "is_final": True, "aborted": False},
    "transcribe_audio/00ff": {"index": 0, "bytes_b64": "AAAA", "is_final": False},
    "catalog/announce": {"entries": [{"guid": "g", "title": "t", "mode": "text", "updated_at": "x", "path": "a"}],
                         "ts": FUTURE_MS, "truncated": False, "fresh": False},
    "permissions/snapshot": {"tools": {"shell": GATE, "write_file": GATE}, "ts": FUTURE_MS},
    "prompts/snapshot": {"prompts": [PROMPT], "ts": 1, "tombstones": [{"id": "prm-x", "deleted_at": FUTURE_MS}]},
    "notice": {"text": "hello"},
}  # fmt: skip


def variants(base: Any, shares: int = 1) -> Iterator[Any]:
    """The payload replaced by each hostile value; and with each of its members, of members too, replaced or left out.

    With `shares` each member meets only that part of the values, the next one the next part: a call is work for two
    daemons and an app, and the readers of payloads meet any JSON in their unit tests (`tests/unit/frontend`).
    """
    yield from VALUES
    yield from _within(base, count(), shares)


def _within(base: Any, turns: Iterator[int], shares: int) -> Iterator[Any]:
    members: list[Any] = list(base) if isinstance(base, dict) else list(range(len(base)))
    for name in members:
        for value in VALUES[next(turns) % shares :: shares]:
            changed = json.loads(json.dumps(base))
            changed[name] = value
            yield changed
        if isinstance(base, dict):
            yield {k: v for k, v in base.items() if k != name}
        if isinstance(base[name], dict | list):
            for inner in _within(base[name], turns, shares):
                changed = json.loads(json.dumps(base))
                changed[name] = inner
                yield changed


class World:
    def __init__(self, pair: Pair, carla: Any) -> None:
        self.anna, self.boris, self.carla = *pair.both, carla
        for device in (self.anna, self.boris, carla):
            device.id = ask(device, "identity_show")["pubkey"]
        self.where = {"network": "home", "peer": self.anna.id}

    def call(self, method: str, payload: Any, timeout_ms: int = 10_000) -> Any:
        """What the victim answers; a refusal counts as an answer, silence within the time as None."""
        try:
            return ask(self.boris, "rpc_call", **self.where, method=method, payload=payload, timeout_ms=timeout_ms)
        except ControlError as error:
            return None if error.kind is ErrorKind.TIMEOUT else {"error": str(error)}

    def post(self, channel: str, payload: Any) -> None:
        ask(self.boris, "channel_send_to", **self.where, channel=channel, payload=payload)

    def door(self, operation: str, **members: Any) -> Any:
        return door.ask(self.anna.home / ".myownllm" / "app.sock", operation, timeout_s=20, **members)

    def answers(self) -> None:
        """The honest friend is served at once."""
        began, contention = time.monotonic(), Contention()
        where = {"network": "home", "peer": self.anna.id}
        assert ask(self.carla, "rpc_call", **where, method="echo", payload=7, timeout_ms=5000) == {"response": 7}
        assert time.monotonic() - began < contention.stretched(2)

    def memory_mb(self) -> float:
        text = Path(f"/proc/{self.anna.pid}/status").read_text()
        return int(next(line for line in text.splitlines() if line.startswith("VmRSS:")).split()[1]) / 1024

    def shape(self) -> Any:
        """What of the victim's things a peer must not change by itself."""
        home = self.anna.home / ".myownllm"
        config = json.loads((home / "config.json").read_text())
        for network in config["cloud_mesh"]["networks"]:
            for shared in ("held_permissions", "prompts", "prompt_tombstones"):
                network.pop(shared, None)  # what peers may ask for, and share
            gates = network.get("agent_permissions", {})
            gates.pop("write_file", None)  # tightening is no harm
            for gate in gates.values():
                gate.pop("updated_at", None)
        outside = sorted(str(p) for p in self.anna.home.iterdir())
        talks = sorted(p.name for p in (home / "conversations").rglob("*.json") if ".trash" not in p.parts)
        return config, outside, talks


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    base = demo.temporary_base()
    pair = Pair(base)
    carla = demo.Device("Carla", base / "c")
    carla.program = pair.anna.program
    with scripted() as server:
        demo.configure(pair.anna, {"kind": "ollama", "base_url": server.url})
        path = pair.anna.home / ".myownllm" / "config.json"
        config = {**json.loads(path.read_text()), "transcription": {"base_url": f"{server.url}/v1"}}
        path.write_text(json.dumps(config))
        for device in (pair.boris, carla):
            demo.configure(device, {"kind": "none"})
        try:
            pair.up()
            carla.up("--label", "Carla")
            carla.wait("daemon", lambda e: e["event"] == "daemon" and e.get("state") == "up")
            marks = [d.mark() for d in (*pair.both, carla)]
            for device in (*pair.both, carla):
                pair.add(device, "home", "--auto-approve")
            for device, mark in zip((pair.boris, carla), marks[1:], strict=True):
                device.wait(
                    "Anna",
                    lambda e: e["event"] == "peer" and e.get("label") == "Anna" and e["status"] == "active",
                    mark,
                )
            (pair.anna.home / "Downloads").mkdir()
            pair.anna.run("conversations", "new", "Plans")
            pair.anna.run("policy", "set", "shell", "denied")
            made = World(pair, carla)
            eventually(lambda: made.door("models")["models"], "the model server is seen")
            yield made
        finally:
            demo.stop_all((*pair.both, carla))
            shutil.rmtree(base, ignore_errors=True)


@pytest.fixture
def unharmed(world: World) -> Iterator[World]:
    """Afterwards the victim is as before, as big as before, and serves others."""
    shape, memory = world.shape(), world.memory_mb()
    yield world
    world.answers()
    assert world.memory_mb() - memory < 25
    assert world.shape() == shape
    errors = (world.anna.home / "up.err").read_text()
    assert "Traceback" not in errors, errors[-3000:]
    assert world.anna.run("health")["exit_status"] == 0


@pytest.mark.slow
def test_every_member_of_every_call(unharmed: World) -> None:
    """Each variant has an answer; what is none of a call's business is refused in the words of its method."""
    for method, base in METHODS.items():
        for payload in variants(base, SHARES):
            if method in ("session_save", "move_take", "move_drop") and payload == base:
                continue
            waits_for_a_person = method == "file_offer"
            answer = unharmed.call(method, payload, 100 if waits_for_a_person else 10_000)
            assert answer is not None or waits_for_a_person, (method, repr(payload)[:200])
    for offer in unharmed.door("inbox_list"):
        assert len(offer["filename"]) <= 200
        assert not set(offer["filename"]) & set("/\\\0\u202e")
        unharmed.door("inbox_decline", id=offer["id"])
    for device in unharmed.anna.run("conversations", "list", "--here")["conversations"]:
        if device["id"] == "talk-1":
            unharmed.anna.run("conversations", "remove", "talk-1")


def test_every_member_of_every_stream(unharmed: World) -> None:
    """Every stream ends, whatever it was asked with."""
    with Wire(unharmed.boris.home / ".myownllm" / ".myownmesh" / "daemon.sock", 30) as events:
        client_id = events.data("events_subscribe")["client_id"]
        for method, base in STREAMS.items():
            for payload in variants(base, SHARES):
                started = ask(
                    unharmed.boris, "rpc_call_stream", client_id=client_id, **unharmed.where, method=method,
                    payload=payload,
                )  # fmt: skip
                last: dict[str, Any] = {}
                while True:
                    frame = events.answer()
                    if frame.get("request_id") != started["request_id"]:
                        continue
                    if frame["kind"] == "rpc_call_stream_end":
                        break
                    last = frame["payload"]
                    if isinstance(last, dict) and last.get("ready"):  # a transcription wants its last frame
                        stream_id = payload.get("stream_id")
                        unharmed.post(
                            f"transcribe_audio/{stream_id}", {"index": 0, "bytes_b64": "AAAAAAAA", "is_final": True}
                        )
                assert last, (method, repr(payload)[:200])


def test_every_member_of_every_message(unharmed: World) -> None:
    for channel, base in CHANNELS.items():
        for payload in variants(base):
            if payload != base or channel in ("prompts/snapshot", "permissions/snapshot"):
                unharmed.post(channel, payload)
    unharmed.answers()
    relaxed = {"mode": "accept_all", "always_accept": ["rm -rf /"], "updated_at": int(time.time() * 1000)}
    for gate in ({**relaxed, "updated_at": FUTURE_MS}, {**relaxed, "mode": "sudo"}, relaxed):
        tools = {"shell": gate, "write_file": {**gate, "always_accept": ["x" * 5000]}}
        unharmed.post("permissions/snapshot", {"tools": tools, "ts": 1})
    held = eventually(lambda: unharmed.anna.run("policy", "pending")["held"], "the question to Anna", 10)
    assert set(held) == {"shell"}, "what relaxes a gate waits for a person"
    unharmed.anna.run("policy", "reject", "shell")


@pytest.mark.slow
def test_floods_of_calls_are_bounded_and_reach_no_person(unharmed: World) -> None:
    """FE-9.10: offers, questions, streams without end, parts of payloads that never come whole."""
    answers: list[Any] = []

    def offer() -> None:
        wish = {**METHODS["file_offer"], "id": secrets.token_hex(8), "sha256_b32": secrets.choice("abc") * 52}
        answers.append(unharmed.call("file_offer", wish, 3000))

    flood = [threading.Thread(target=offer) for _ in range(24)]
    for thread in flood:
        thread.start()
    eventually(lambda: len(answers) >= 20, "those that reach nobody are answered at once", 3)
    assert len(unharmed.door("inbox_list")) == 4, answers
    with Wire(unharmed.boris.home / ".myownllm" / ".myownmesh" / "daemon.sock", 30) as events:
        client_id = events.data("events_subscribe")["client_id"]
        for _ in range(40):
            ask(
                unharmed.boris, "rpc_call_stream", client_id=client_id, **unharmed.where, method="count",
                payload={"to": 1000, "delay_ms": 1000},
            )  # fmt: skip
        ends = 0
        while ends < 32:
            ends += events.answer()["kind"] == "rpc_call_stream_end"
        for number in range(600):
            part = {"id": f"{number:016x}", "index": 0, "total": 364, "bytes_b64": "A" * 50_000}
            unharmed.post("blob/v1", part)
        unharmed.answers()
    for thread in flood:
        thread.join()
    for waiting in unharmed.door("inbox_list"):
        unharmed.door("inbox_decline", id=waiting["id"])


def test_chunks_in_every_disorder_make_the_file_or_none(unharmed: World) -> None:
    """FE-9.20: without an offer, forged ids, twice, backwards, of other lengths, from beyond the end, again aborted."""
    data = secrets.token_bytes(3 * 1000 + 10)
    digest = base64.b32encode(hashlib.sha256(data).digest()).decode().lower().rstrip("=")
    offer_id = secrets.token_hex(8)
    for number in range(500):
        chunk = {"index": number, "bytes_b64": "A" * 60_000, "is_final": False}
        unharmed.post(f"file_chunks/{secrets.token_hex(8)}", chunk)
    wish = {
        "id": offer_id, "filename": "../../../.bashrc\u202egpj.exe", "size_bytes": len(data), "sha256_b32": digest,
        "chunk_size": 1000,
    }  # fmt: skip
    answers: list[Any] = []
    offering = threading.Thread(target=lambda: answers.append(unharmed.call("file_offer", wish, 20_000)))
    offering.start()
    [shown] = eventually(lambda: unharmed.door("inbox_list"), "the offer")
    unharmed.door("inbox_accept", id=shown["id"])
    offering.join()
    assert answers[0]["response"]["accepted"] is True

    def send(index: Any, payload: bytes, **members: Any) -> None:
        members = {"index": index, "bytes_b64": base64.b64encode(payload).decode(), "is_final": False, **members}
        unharmed.post(f"file_chunks/{offer_id}", members)

    pieces = [data[at : at + 1000] for at in range(0, len(data), 1000)]
    send(3, pieces[3], is_final=True)
    for index in (-2, 4, 10**9, "0", None, 1.0):
        send(index, pieces[0])
    send(2, pieces[2])
    send(2, b"\0" * 1000)  # the first one counts
    send(0, pieces[0])
    send(1, pieces[1])
    folder = unharmed.anna.home / "Downloads"
    [file] = eventually(lambda: [p for p in folder.iterdir() if p.suffix != ".part"], "the file")
    assert file.read_bytes() == data
    assert file.name == shown["filename"]
    file.unlink()
    send(-1, b"", aborted=True, is_final=True)
    assert unharmed.call("file_offer", {**wish, "id": "../../../x"})["error"].endswith("invalid file_offer payload")


def test_a_stranger_cannot_cancel_what_another_device_asked(unharmed: World) -> None:
    """Forged ids: streams and transfers belong to who began them."""
    done: list[Any] = []

    def honest() -> None:
        told = unharmed.carla.run("call", "Anna", "count", '{"to": 30, "delay_ms": 20}', "--stream")
        done.append([line for line in told if "n" in str(line)])

    thread = threading.Thread(target=honest)
    thread.start()
    for _ in range(50):
        unharmed.post("rpc/cancel", {"stream_id": secrets.token_hex(8)})
        unharmed.post("rpc/cancel", {"stream_id": ""})
    thread.join()
    assert len(done[0]) >= 30
