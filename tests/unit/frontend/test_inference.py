"""Who answers, what may be asked, and what a model may do here: vectors of `frontend.json` and literal cases."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, ClassVar

import attrs
import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from myownllm import capabilities, policy
from myownllm.capabilities import Capabilities
from myownllm.errors import AppError
from myownllm.inference import names, picks
from myownllm.inference.embedding import EmbedPayload
from myownllm.inference.gate import PROMPT_S, PROMPTS_MAX, Gate, decide
from myownllm.inference.loop import REFUSED_TEXT, ROUNDS_MAX, Ran, TooManyRoundsError, Wants, converse
from myownllm.inference.pins import Pins
from myownllm.inference.request import MESSAGES_MAX_BYTES, InferPayload, read_chunk, to_chunks, to_payload
from myownllm.payloads import PayloadError, structure
from myownllm.runtimes.chat import ChatRequest, Delta, Finished, Thinking, ToolCall, Usage
from support import vectors

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from myownllm.runtimes.chat import Piece

KEY = "a" * 52


def cases(suite: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        "case", [pytest.param(c, id=c["id"]) for c in vectors.load("frontend", "suites")[suite]["cases"]]
    )


def told(blob: Any) -> Capabilities:
    """As tests and vectors write it, or as it is already."""
    return blob if isinstance(blob, Capabilities) else capabilities.read(blob)


@attrs.frozen
class Peer:
    device_pubkey: str
    status: Any = "active"
    authorized: bool = True
    capabilities: Capabilities = attrs.field(factory=Capabilities, converter=told)
    label: str = ""


def peers_of(case: dict[str, Any]) -> list[Peer]:
    return [Peer(**p) for p in case["input"]["peers"]]


# ── picks (FE-9.18) ───────────────────────────────────────────────────────────────────────────────────────────────────


@cases("model_pick")
def test_model_pick(case: dict[str, Any]) -> None:
    asked = case["input"]
    admission = picks.admit("available", told({"llms": asked["llms"]}).llms, asked["family"], asked["mode"])
    assert admission.model == case["expect"]["tag"]
    assert (admission.refusal or None) == case["expect"]["end_error"]


@cases("infer_handler_gate")
def test_infer_handler_gate(case: dict[str, Any]) -> None:
    asked = case["input"]
    pushed = asked["last_pushed_llms"]
    llms = None if pushed is None else told({"llms": pushed}).llms
    admission = picks.admit(asked["accepting"], llms, **asked["request"])
    expected = case["expect"]
    assert (admission.refusal or None, admission.model or None) == (expected["immediate_end_error"], expected["model"])


@cases("can_serve")
def test_can_serve(case: dict[str, Any]) -> None:
    blob = told(case["input"]["capabilities"])
    assert picks.can_serve_inference(blob) is case["expect"]["can_serve_inference"]
    assert picks.can_serve_transcribe(blob) is case["expect"]["can_serve_transcribe"]


@cases("peer_pick")
def test_peer_pick(case: dict[str, Any]) -> None:
    expected, peers = case["expect"], peers_of(case)
    if "eligible" in expected:
        assert [p.device_pubkey for p in picks.eligible(peers)] == expected["eligible"]
        return
    assert expected["fallback_to_local"] is False
    if expected["use"] is None:
        with pytest.raises(picks.HostError, match="Pinned peer is offline") as caught:
            picks.route(peers, case["input"]["pinned"])
        assert caught.value.kind == expected["error_kind"]
    else:
        host = picks.route(peers, case["input"]["pinned"])
        assert ("local" if host is None else host.device_pubkey) == expected["use"]


@pytest.mark.parametrize(
    ("changes", "kind", "says"),
    [
        ({"status": "reconnecting"}, "device_away", "offline"),
        ({"authorized": False}, "device_away", "not approved"),
        ({"capabilities": {"accepting": "busy", "llms": [{"tag": "x"}]}}, "device_busy", "busy"),
        ({"capabilities": {"accepting": "available", "llms": []}}, "no_model", "without a model"),
    ],
)
def test_a_device_that_cannot_be_asked_is_named_with_the_reason(changes: dict[str, Any], kind: str, says: str) -> None:
    host = attrs.evolve(Peer(KEY, label="Pi", capabilities={"accepting": "limited", "llms": [{"tag": "x"}]}), **changes)
    with pytest.raises(picks.HostError, match=says) as caught:
        picks.usable(host, "Pi")
    assert caught.value.kind == kind
    assert "Pi" in str(caught.value)


def test_a_pin_for_transcription_asks_for_a_recogniser_not_for_a_model() -> None:
    able = Peer(KEY, label="Pi", capabilities={"accepting": "available", "asr": [{"backend": "openai"}]})
    assert picks.route([able], KEY, need="recogniser") is able
    with pytest.raises(picks.HostError, match="without a model"):
        picks.route([able], KEY)
    assert picks.route([attrs.evolve(able, capabilities={"asr": []})], KEY, need="any") is not None
    for changes, says in (({"capabilities": {"asr": []}}, "without a recogniser"), ({"status": "offline"}, "offline")):
        with pytest.raises(picks.HostError, match=f"Pinned peer is {says}"):
            picks.route([attrs.evolve(able, **changes)], KEY, need="recogniser")


def test_a_name_that_nobody_has_is_no_offline_device() -> None:
    with pytest.raises(picks.HostError, match="No device called 'Borsi'") as caught:
        picks.usable(None, "Borsi")
    assert caught.value.kind == "device_away"


def test_a_named_model_is_served_or_refused_never_replaced() -> None:
    llms = [{"tag": "a", "family": "f", "mode": "text"}, {"tag": "b", "family": "f", "mode": "text"}]
    assert picks.admit("limited", told({"llms": llms}).llms, "f", "text", "b") == picks.Admission("b")
    assert (
        picks.admit("available", told({"llms": llms}).llms, "f", "text", "c").refusal == "this device has no model 'c'"
    )
    old = Peer(KEY, label="Old", capabilities={"llms": llms, "features": ["infer_request"]})
    assert picks.request_labels(old, "a") == ("f", "text"), "an old app picks just this one"
    with pytest.raises(picks.HostError, match="too old"):
        picks.request_labels(old, "b")
    new = attrs.evolve(old, capabilities={"llms": llms, "features": [picks.MODEL_FEATURE]})
    assert picks.request_labels(new, "b") == ("f", "text")
    assert picks.request_labels(new, "") == ("", "")
    with pytest.raises(picks.HostError, match="has no model 'c'"):
        picks.request_labels(new, "c")


def test_a_family_is_served_by_the_best_device_that_has_it() -> None:
    def having(key: str, *families: str, accepting: str = "available", **changes: Any) -> Peer:
        llms = [
            {"tag": f"{family}:{mode}", "family": family, "mode": mode}
            for family in families
            for mode in ("vision", "text")
        ]
        return Peer(key, capabilities={"llms": llms, "accepting": accepting}, label=key, **changes)

    away, limited = having("a", "f", status="offline"), having("b", "f", accepting="limited")
    other, able = having("c", "g"), having("d", "g", "f")
    assert picks.of_family([away, limited, other, able], "f") == (able, "f:text")
    assert picks.of_family([away, limited, other], "f") == (limited, "f:text")
    assert picks.of_family([away, other], "f") is None
    picture = Peer(KEY, capabilities={"llms": [{"tag": "f:v", "family": "f", "mode": "vision"}, None]})
    assert picks.of_family([picture], "f") == (picture, "f:v"), "a model of another mode before none"


# ── names of devices ──────────────────────────────────────────────────────────────────────────────────────────────────

PI = Peer("pi" + "b" * 50, label="Pi")


def test_a_device_is_called_by_a_label_that_only_it_has() -> None:
    twin = Peer("tw" + "c" * 50, label="pi")
    assert names.device_names([PI]) == {PI.device_pubkey: "Pi"}
    assert names.device_names([PI, twin]) == {PI.device_pubkey: "pibbbbbb", twin.device_pubkey: "twcccccc"}


@pytest.mark.parametrize("label", ["", "a@b", " x", "x\u202ey", "x\ny", "pibbBBBB", "z" * 65])
def test_a_label_that_could_mislead_is_not_used(label: str) -> None:
    assert names.device_names([Peer(KEY, label=label), PI])[KEY] == "aaaaaaaa"


@given(st.lists(st.tuples(st.text(max_size=4), st.integers(0, 30)), max_size=6, unique_by=lambda t: t[1]))
def test_every_device_is_found_by_its_name(drawn: list[tuple[str, int]]) -> None:
    devices = [
        Peer("ab" * 13 + f"{n:026d}".translate(str.maketrans("0123456789", "cdefghijkl")), label=t) for t, n in drawn
    ]
    given_names = names.device_names(devices)
    assert len(set(given_names.values())) == len(devices)
    for device in devices:
        tag, name = names.split_model(f"org/model@1:x@{given_names[device.device_pubkey]}")
        assert tag == "org/model@1:x"
        assert names.find_device(name, devices) is device
        assert names.find_device(device.device_pubkey, devices) is device


def test_a_model_without_a_device_is_ours() -> None:
    assert names.split_model("gemma4:e2b") == ("gemma4:e2b", "")
    assert names.split_model("@x") == ("@x", "")
    assert names.find_device("PI", [PI]) is PI
    assert names.find_device("nobody", [PI]) is None


# ── payload and chunks (FE-9.16, FE-9.17) ─────────────────────────────────────────────────────────────────────────────

HELLO = {"role": "user", "content": "hello"}


@pytest.mark.parametrize(
    "payload",
    [
        None,
        [],
        {},
        {"messages": []},
        {"messages": "hello"},
        {"messages": [{"role": "wizard", "content": "x"}]},
        {"messages": [{"content": "x"}]},
        {"messages": [{**HELLO, "content": [{"text": "x"}]}]},
        {"messages": [{**HELLO, "name": 5}]},
        {"messages": [{**HELLO, "tool_calls": {}}]},
        {"messages": [{**HELLO, "tool_calls": [{"function": {"arguments": {}}}]}]},
        {"messages": [{**HELLO, "tool_calls": [{"function": {"name": "x", "arguments": [1]}}]}]},
        {"messages": [{**HELLO, "tool_calls": [{"id": {}, "function": {"name": "x"}}]}]},
        {"messages": [HELLO] * 4097},
        {"messages": [{**HELLO, "content": "x" * MESSAGES_MAX_BYTES}]},
        {"messages": [HELLO], "family": 1},
        {"messages": [HELLO], "family": "x" * 257},
        {"messages": [HELLO], "think": 3},
        {"messages": [HELLO], "think": "\ud800"},
        {"messages": [{**HELLO, "content": "\ud800"}]},
        {"messages": [HELLO], "tools": [{}] * 129},
        {"messages": [HELLO], "tools": [{"x": "y" * 2**20}]},
        {"messages": [HELLO], "options": []},
    ],
)
def test_a_payload_out_of_bounds_is_invalid(payload: Any) -> None:
    with pytest.raises(PayloadError):
        structure(InferPayload, payload)


def test_a_request_survives_the_way_to_the_host() -> None:
    request = ChatRequest((HELLO,), "high", ({"type": "function"},), {"temperature": 0, "max_tokens": 5})
    payload = to_payload(request, family="gemma4", mode="text", model="gemma4:e2b")
    there = structure(InferPayload, {**payload, "stream_id": "0" * 16, "surprise": [{}]})
    assert (there.to_chat(), there.family, there.mode, there.model) == (request, "gemma4", "text", "gemma4:e2b")
    assert set(to_payload(ChatRequest((HELLO,)), family="", mode="", model="")) == {"messages", "family", "mode"}
    assert structure(InferPayload, {"messages": [HELLO], "options": {"evil": 1}}).to_chat().options == {}


def test_chunks_have_one_member_each_and_are_read_back() -> None:
    pieces: list[Piece] = [Thinking("hm"), Delta("yes"), ToolCall("shell", {"command": "ls"}), Finished("length")]
    chunks = to_chunks([*pieces, Usage(1, 2), Finished("stop")])
    assert all(len(chunk) == 1 for chunk in chunks)
    assert [read_chunk(chunk) for chunk in chunks] == pieces
    assert read_chunk({"tool_call": {"function": {"name": "f", "arguments": '{"a":1}'}}}) == ToolCall("f", {"a": 1})
    for strange in (None, {}, {"delta": 5}, {"tool_call": {"function": {}}}, {"tool_call": {"function": {"name": ""}}}):
        assert read_chunk(strange) is None


# ── the gate (FE-9.45 to FE-9.47) ─────────────────────────────────────────────────────────────────────────────────────


@cases("permission_gate")
def test_permission_gate(case: dict[str, Any]) -> None:
    assert (
        decide(policy.Gate.from_json(case["input"]["policy"]), case["input"]["literal"]) == case["expect"]["decision"]
    )


class Policies:
    def __init__(self) -> None:
        self.permissions = policy.Permissions()
        self.error: AppError | None = None

    async def gate(self, tool: policy.Tool) -> policy.Gate:
        return self.permissions.in_force.gate(tool)

    async def allow(self, tool: policy.Tool, literal: str) -> None:
        self._check()
        self.permissions = self.permissions.allow(tool, literal, 1)

    async def set_mode(self, tool: policy.Tool, mode: policy.Mode) -> None:
        self._check()
        self.permissions = self.permissions.set_mode(tool, mode, 1)

    def _check(self) -> None:
        if self.error is not None:
            raise self.error


class Desk:
    """A gate with a person before it."""

    def __init__(self) -> None:
        self.policies, self.notes = Policies(), list[str]()
        self.gate = Gate(self.policies, lambda: 7, self.notes.append)
        self.results: dict[str, bool] = {}

    async def ask(self, literal: str, tool: str = "shell") -> None:
        with await self.gate.ask("talk", tool, literal) as question:
            self.results[literal] = await question.allowed()


async def test_questions_are_answered_in_their_order(autojump_clock: trio.abc.Clock) -> None:
    desk = Desk()
    async with trio.open_nursery() as nursery:
        for literal in ("one", "two", "three", "four"):
            nursery.start_soon(desk.ask, literal)
            await trio.testing.wait_all_tasks_blocked()
        for choice in ("allow_once", "deny", "always_accept", "accept_all"):
            shown = desk.gate.shown
            assert shown is not None
            assert desk.gate.answer(shown.id, choice)  # type: ignore[arg-type]  # one of the words
            assert shown.to_json()["tool"] == "shell"
            await trio.testing.wait_all_tasks_blocked()
            assert not desk.gate.answer(shown.id, "deny"), "a question is answered once"
    assert desk.results == {"one": True, "two": False, "three": True, "four": True}
    kept = await desk.policies.gate("shell")
    assert (kept.mode, kept.always_accept) == ("accept_all", ("three",))
    assert desk.gate.shown is None
    await desk.ask("x", "read_file")
    assert desk.results["x"], "functions that change nothing pass"


async def test_a_changed_policy_answers_what_waits(autojump_clock: trio.abc.Clock) -> None:
    desk = Desk()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(desk.ask, "one")
        nursery.start_soon(desk.ask, "two", "write_file")
        await trio.testing.wait_all_tasks_blocked()
        await desk.policies.set_mode("shell", "denied")
        desk.gate.look_again()
        await trio.testing.wait_all_tasks_blocked()
        assert desk.results == {"one": False}
        await desk.policies.allow("write_file", "two")
        desk.gate.look_again()
    assert desk.results == {"one": False, "two": True}


async def test_silence_is_a_no_and_a_cancelled_conversation_takes_its_question_back(
    autojump_clock: trio.abc.Clock,
) -> None:
    desk = Desk()
    began = trio.current_time()
    await desk.ask("one")
    assert desk.results == {"one": False}
    assert trio.current_time() - began == PROMPT_S
    with trio.move_on_after(1):
        await desk.ask("two")
    assert desk.gate.shown is None


async def test_too_many_questions_are_refused(autojump_clock: trio.abc.Clock) -> None:
    desk = Desk()
    async with trio.open_nursery() as nursery:
        for number in range(PROMPTS_MAX):
            nursery.start_soon(desk.ask, str(number))
        await trio.testing.wait_all_tasks_blocked()
        await desk.ask("one more")
        assert desk.results == {"one more": False}
        nursery.cancel_scope.cancel()


async def test_without_an_active_network_a_choice_counts_once_and_says_so(autojump_clock: trio.abc.Clock) -> None:
    desk = Desk()
    desk.policies.error = AppError("No active network")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(desk.ask, "one")
        await trio.testing.wait_all_tasks_blocked()
        assert desk.gate.shown is not None
        desk.gate.answer(desk.gate.shown.id, "accept_all")
    assert desk.results == {"one": True}
    assert desk.notes == ["the choice for shell counts this once only: No active network"]


# ── the loop (FE-9.19) ────────────────────────────────────────────────────────────────────────────────────────────────


class Model:
    """Answers with what a test wrote down, one round after another; the last round again and again."""

    def __init__(self, *rounds: list[Piece]) -> None:
        self.rounds, self.requests = rounds, list[ChatRequest]()

    async def __call__(self, request: ChatRequest) -> AsyncGenerator[list[Piece], None]:
        self.requests.append(request)
        yield self.rounds[min(len(self.requests), len(self.rounds)) - 1]


@attrs.frozen
class Shout:
    definition: ClassVar[dict[str, Any]] = {"type": "function", "function": {"name": "shell"}}

    def literal(self, arguments: dict[str, Any]) -> str:
        if "command" not in arguments:
            raise ValueError("command is missing")
        return str(arguments["command"])

    async def run(self, arguments: dict[str, Any]) -> str:
        return self.literal(arguments).upper() * (100_000 if arguments.get("long") else 1)


async def run(model: Model, *, mode: policy.Mode = "accept_all") -> list[Any]:
    desk = Desk()
    await desk.policies.set_mode("shell", mode)
    asking = functools.partial(desk.gate.ask, "talk")
    said: list[Any] = []
    async for step in converse(model, ChatRequest((HELLO,)), {"shell": Shout()}, asking):
        said.append(step)
        if isinstance(step, Wants):
            assert desk.gate.answer(step.prompt.id, "allow_once")
    return said


def call(**arguments: Any) -> list[Piece]:
    return [Delta("wait"), ToolCall("shell", arguments), Finished()]


DONE: list[Piece] = [Delta("done"), Finished()]


async def test_results_go_back_to_the_same_host() -> None:
    model = Model(call(command="ls"), DONE)
    assert await run(model) == [*call(command="ls"), Ran("shell", "ls", "LS"), *DONE]
    first, second = model.requests
    assert first.tools == (Shout.definition,)
    assert second.messages == (
        HELLO,
        {
            "role": "assistant",
            "content": "wait",
            "tool_calls": [
                {"id": "call_1", "type": "function", "function": {"name": "shell", "arguments": {"command": "ls"}}}
            ],
        },
        {"role": "tool", "tool_call_id": "call_1", "name": "shell", "content": "LS"},
    )


@pytest.mark.parametrize(
    ("pieces", "mode", "result"),
    [
        (call(command="ls"), "denied", REFUSED_TEXT),
        (call(), "ask", "error: command is missing"),
        ([ToolCall("rm", {}), Finished()], "ask", "error: there is no function 'rm'"),
        ([ToolCall("shell", "ls -"), Finished()], "ask", "error: the arguments are no JSON object"),
    ],
)
async def test_what_cannot_be_done_is_told_to_the_model(pieces: list[Piece], mode: Any, result: str) -> None:
    model = Model(pieces, DONE)
    said = await run(model, mode=mode)
    assert [x.result for x in said if isinstance(x, Ran)] == [result]
    assert model.requests[1].messages[-1]["content"] == result
    assert said[-2:] == DONE


@pytest.mark.parametrize(
    "payload",
    [
        None, {"input": "x"}, {"model": "m"}, {"model": "", "input": "x"}, {"model": "m", "input": []},
        {"model": "m", "input": [1]}, {"model": "m", "input": {"a": 1}}, {"model": "m", "input": ["x"] * 2049},
        {"model": "m", "input": "x" * (2**22 + 1)}, {"model": "m" * 257, "input": "x"},
        {"model": "m", "input": "x", "dimensions": 0}, {"model": "m", "input": "x", "dimensions": "9"},
        {"model": "m", "input": "x", "encoding_format": "f" * 300}, {"model": ["m"], "input": "x"},
    ],
)  # fmt: skip
def test_a_wish_for_embeddings_out_of_bounds_is_invalid(payload: Any) -> None:
    with pytest.raises(PayloadError):
        structure(EmbedPayload, payload)


def test_a_wish_for_embeddings_reaches_the_server_as_it_was_made() -> None:
    asked = structure(EmbedPayload, {"model": "m", "input": ["a"], "dimensions": 8, "stream_id": "00", "user": "x"})
    assert (asked.model, asked.members()) == ("m", {"input": ["a"], "dimensions": 8})


async def test_a_person_is_asked_before_the_function_runs() -> None:
    said = await run(Model(call(command="ls"), DONE), mode="ask")
    wants, ran = (x for x in said if isinstance(x, Wants | Ran))
    assert (wants.prompt.tool, wants.prompt.literal, ran.result) == ("shell", "ls", "LS")


async def test_a_long_result_is_cut_and_endless_calling_ends() -> None:
    model = Model(call(command="x", long=True))
    with pytest.raises(TooManyRoundsError, match="8 rounds"):
        await run(model)
    assert len(model.requests) == ROUNDS_MAX
    assert model.requests[1].messages[-1]["content"].endswith("… (cut off)")
    assert len(model.requests[1].messages[-1]["content"]) < 70_000


# ── pins (FE-9.18) ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_pins_are_kept_by_device_and_purpose(tmp_path: Path) -> None:
    pins = Pins(tmp_path / "pins.json")
    assert pins.all() == {}
    pins.set("text", KEY)
    pins.set("tp", KEY[::-1])
    assert Pins(tmp_path / "pins.json").all() == {"text": KEY, "tp": KEY}
    pins.set("tp", None)
    assert (pins.get("text"), pins.get("tp")) == (KEY, None)
    (tmp_path / "pins.json").write_text('{"text": "nobody", "transcribe": 5, "other": "x"}')
    assert pins.all() == {}
