"""What model servers say, read into pieces, and questions in their words (spec 08 FE-9.48)."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from myownllm.runtimes import RuntimeFailure, RuntimeSettings, plain
from myownllm.runtimes.chat import ChatRequest, Delta, Finished, Thinking, ToolCall, Usage, merged
from myownllm.runtimes.models import Model, ollama_model, ollama_tags, openai_models, relabelled
from myownllm.runtimes.questions import OPTIONS, OpenAiChat, ollama_chat, openai_chat
from myownllm.runtimes.readers import LINE_MAX_BYTES, OllamaReader, OpenAiReader

if TYPE_CHECKING:
    from myownllm.runtimes.chat import Piece
    from myownllm.runtimes.readers import Reader


def lines(*values: object) -> bytes:
    return b"".join(json.dumps(v).encode() + b"\n" for v in values)


def events(*values: object) -> bytes:
    return b"".join(b"data: " + (v if isinstance(v, bytes) else json.dumps(v).encode()) + b"\n\n" for v in values)


def choice(finish: str | None = None, **delta: object) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


OLLAMA = lines(
    {"message": {"role": "assistant", "thinking": "hm"}, "done": False},
    {"message": {"content": "gr"}},
    {"message": {"content": "üß"}},
    {"message": {"tool_calls": [{"function": {"name": "shell", "arguments": {"command": "ls"}}}]}},
    {"message": {"content": ""}, "done": True, "done_reason": "length", "prompt_eval_count": 3, "eval_count": 4},
)
OPENAI = events(
    choice(role="assistant", content=None),
    choice(reasoning_content="hm"),
    choice(content="gr"),
    choice(content="üß"),
    choice(tool_calls=[{"index": 0, "id": "c1", "function": {"name": "shell", "arguments": ""}}]),
    choice(tool_calls=[{"index": 0, "function": {"arguments": '{"comm'}}]),
    choice(tool_calls=[{"index": 1, "id": "c2", "function": {"name": "clock"}}]),
    choice(tool_calls=[{"index": 0, "function": {"arguments": 'and":"ls"}'}}]),
    choice("tool_calls"),
    {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 4}},
    b"[DONE]",
)
EXPECTED: dict[str, list[Piece]] = {
    "ollama": [Thinking("hm"), Delta("grüß"), ToolCall("shell", {"command": "ls"}), Usage(3, 4), Finished("length")],
    "openai": [
        Thinking("hm"),
        Delta("grüß"),
        Usage(3, 4),
        ToolCall("shell", {"command": "ls"}, "c1"),
        ToolCall("clock", {}, "c2"),
        Finished("tool_calls"),
    ],
}


def read(reader: Reader, data: bytes, *cuts: int) -> list[Piece]:
    pieces: list[Piece] = []
    at = 0
    for cut in (*sorted(cuts), len(data)):
        pieces += reader.feed(data[at:cut])
        at = cut
    return merged([*pieces, *reader.close()])


@given(st.lists(st.integers(0, len(OLLAMA)), max_size=6))
def test_ollamas_lines_are_read_however_they_are_cut(cuts: list[int]) -> None:
    assert read(OllamaReader(), OLLAMA, *cuts) == EXPECTED["ollama"]


@given(st.lists(st.integers(0, len(OPENAI)), max_size=6))
def test_openais_events_are_read_however_they_are_cut(cuts: list[int]) -> None:
    assert read(OpenAiReader(), b": ping\n\n" + OPENAI, *[c + 8 for c in cuts]) == EXPECTED["openai"]


@pytest.mark.parametrize(
    ("make", "data", "complete"),
    [(OllamaReader, OLLAMA, len(OLLAMA) - 1), (OpenAiReader, OPENAI, OPENAI.index(b'"finish_reason": "tool_calls"'))],
)
def test_an_answer_cut_short_is_an_error_never_a_shorter_answer(make: Any, data: bytes, complete: int) -> None:
    for end in range(complete):
        reader = make()
        with pytest.raises(RuntimeFailure) as caught:
            read(reader, data[:end])
        assert caught.value.kind in ("broken", "garbage")


def test_a_server_that_leaves_the_last_event_out_is_understood() -> None:
    data = events(choice(content="x"), choice("stop"))
    assert read(OpenAiReader(), data) == [Delta("x"), Finished("stop")]
    assert read(OpenAiReader(), data.rstrip()) == [Delta("x"), Finished("stop")]
    assert read(OpenAiReader(), events(choice(content="x"), b"[DONE]").rstrip()) == [Delta("x"), Finished("stop")]


@pytest.mark.parametrize(
    ("reader", "data", "kind", "says"),
    [
        (OllamaReader, b"<html>\n", "garbage", "no part of an answer"),
        (OllamaReader, b"[1]\n", "garbage", "no part of an answer"),
        (OllamaReader, b'{"status":"pulling"}\n', "garbage", "no part of an answer"),
        (OllamaReader, b'{"error":"out of memory"}\n', "refused", "out of memory"),
        (OllamaReader, b'{"error":{}}\n', "refused", "without a reason"),
        (OllamaReader, lines({"message": {"tool_calls": [{}]}}), "garbage", "without a name"),
        (OllamaReader, b"x" * (LINE_MAX_BYTES + 1), "garbage", "without an end"),
        (OpenAiReader, b"data: {\n", "garbage", "no part of an answer"),
        (OpenAiReader, b'{"choices":[]}\n', "garbage", "no part of an answer"),
        (OpenAiReader, events({"error": {"message": "too long"}}), "refused", "too long"),
        (OpenAiReader, events({"object": "x"}), "garbage", "no part of an answer"),
        (OpenAiReader, events(choice(tool_calls=[{"index": 64}])), "garbage", "number 64"),
        (OpenAiReader, events(choice(tool_calls=[{"index": 0}]), b"[DONE]"), "garbage", "without a name"),
    ],
)
def test_what_is_no_answer_is_an_error_with_its_reason(reader: Any, data: bytes, kind: str, says: str) -> None:
    with pytest.raises(RuntimeFailure, match=says) as caught:
        reader().feed(data)
    assert caught.value.kind == kind


def test_an_odd_member_counts_as_absent_and_spoils_nothing_beside_it() -> None:
    ollama = lines(
        {"message": {"thinking": 5, "content": "x", "tool_calls": {}}, "done": "no", "done_reason": []},
        {"message": None, "done": True, "done_reason": 7, "prompt_eval_count": True, "eval_count": 4},
    )
    assert read(OllamaReader(), ollama) == [Delta("x"), Finished("stop")]
    calls = [{"id": 1, "function": {"name": "clock", "arguments": {}}}, {"index": 0, "function": {"name": []}}]
    openai = events(
        {"choices": [{"delta": {"reasoning_content": {}, "reasoning": "hm", "content": "x"}, "finish_reason": {}}]},
        {"choices": [{"delta": {"tool_calls": calls}}], "usage": {"prompt_tokens": "3", "completion_tokens": 4}},
        {"choices": [7], "usage": []},
        b"[DONE]",
    )
    assert read(OpenAiReader(), openai) == [Thinking("hm"), Delta("x"), ToolCall("clock", {}), Finished("stop")]


def test_arguments_without_an_end_are_bounded() -> None:
    reader = OpenAiReader()
    part = events(choice(tool_calls=[{"index": 0, "function": {"name": "x", "arguments": "y" * 2**20}}]))
    for _ in range(4):
        reader.feed(part)
    with pytest.raises(RuntimeFailure, match="without an end"):
        reader.feed(part)


@given(st.binary(max_size=200), st.booleans())
def test_no_bytes_make_a_reader_fail_otherwise(data: bytes, openai: bool) -> None:
    reader: Reader = OpenAiReader() if openai else OllamaReader()
    with contextlib.suppress(RuntimeFailure):
        read(reader, data)


def test_arguments_that_are_no_object_stay_what_the_model_wrote() -> None:
    broken = events(choice(tool_calls=[{"index": 0, "function": {"name": "x", "arguments": "{oh"}}]), b"[DONE]")
    assert read(OpenAiReader(), broken)[0] == ToolCall("x", "{oh")


# ── questions ─────────────────────────────────────────────────────────────────────────────────────────────────────────

TALK = ChatRequest(
    (
        {"role": "user", "content": "list"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "a", "function": {"name": "shell", "arguments": '{"command":"ls"}'}},
                {"function": {"name": "clock", "arguments": {}}},
            ],
        },
        {"role": "tool", "tool_call_id": "a", "content": "x.txt"},
        {"role": "tool", "content": "noon"},
    ),
    think=False,
    tools=({"type": "function"},),
    options={"max_tokens": 9, "stop": "x", "temperature": 0, "top_p": None, "response_format": {"type": "json_object"}},
)


def written(body: msgspec.Struct) -> Any:
    return msgspec.json.decode(msgspec.json.encode(body))


def test_every_option_has_its_member() -> None:
    assert set(OPTIONS) < set(OpenAiChat.__struct_fields__)


def test_a_question_in_ollamas_words() -> None:
    assert written(ollama_chat("m", TALK, "30m")) == {
        "model": "m",
        "stream": True,
        "think": False,
        "keep_alive": "30m",
        "format": "json",
        "tools": [{"type": "function"}],
        "options": {"num_predict": 9, "stop": ["x"], "temperature": 0},
        "messages": [
            {"role": "user", "content": "list"},
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [
                    {"function": {"name": "shell", "arguments": {"command": "ls"}}},
                    {"function": {"name": "clock", "arguments": {}}},
                ],
            },
            {"role": "tool", "content": "x.txt", "tool_name": "shell"},
            {"role": "tool", "content": "noon", "tool_name": "clock"},
        ],
    }
    schema = {"type": "json_schema", "json_schema": {"schema": {"type": "object"}}}
    wanted = written(ollama_chat("m", ChatRequest((), options={"response_format": schema}), None))
    assert wanted == {"model": "m", "messages": [], "stream": True, "format": {"type": "object"}}


def test_a_question_in_openais_words() -> None:
    body = written(openai_chat("m", TALK))
    assert body["messages"][1]["tool_calls"] == [
        {"id": "a", "type": "function", "function": {"name": "shell", "arguments": '{"command":"ls"}'}},
        {"id": "call_2", "type": "function", "function": {"name": "clock", "arguments": "{}"}},
    ]
    assert [m["tool_call_id"] for m in body["messages"][2:]] == ["a", "call_2"], (
        "a result without an id is the next one's"
    )
    assert (body["max_tokens"], body["stop"], "top_p" in body) == (9, "x", False)
    assert body["stream_options"] == {"include_usage": True}


# ── models and settings ───────────────────────────────────────────────────────────────────────────────────────────────


def test_model_lists_are_read_leniently() -> None:
    tags = {"models": [{"name": "a:1", "digest": "d"}, {"model": "b"}, {"name": 5}, 7, {"name": "x\n"}]}
    assert ollama_tags(tags) == {"a:1": "d", "b": "None"}
    assert ollama_tags("nonsense") == {}
    shown = {"model_info": {"general.architecture": "g", "g.context_length": 8192}, "capabilities": ["completion"]}
    assert ollama_model("org/gemma4:e2b", shown) == Model("org/gemma4:e2b", "gemma4", "text", 8192)
    assert not ollama_model("e", {"capabilities": ["embedding"]}).chats
    listed = {"data": [{"id": "a", "meta": {"n_ctx_train": 2048}}, {"id": "a"}, {"id": ""}, None]}
    assert openai_models(listed) == (Model("a", "a", "text"),)
    assert openai_models({"data": [{"id": "b", "meta": {"n_ctx_train": 4}}]})[0].to_llm()["context_length"] == 4


def test_labels_of_the_configuration_win() -> None:
    found = [Model("a", "a", "text", 10), Model("b", "b", "text")]
    saved = [Model("a", "qwen3", "code"), Model("c")]
    assert relabelled(found, saved) == (Model("a", "qwen3", "code", 10), Model("b", "b", "text"), Model("c"))


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({}, RuntimeSettings()),
        ({"ollama_keep_alive": "5m"}, RuntimeSettings(keep_alive="5m")),
        ({"runtime": {"kind": "ollama"}}, RuntimeSettings()),
        (
            {
                "runtime": {
                    "base_url": "http://h:8080/v1/",
                    "api_key": "k",
                    "models": ["x", {"tag": "y", "mode": "code"}],
                }
            },
            RuntimeSettings("openai", "http://h:8080/v1", "k", (Model("x"), Model("y", "", "code"))),
        ),
    ],
)
def test_settings(config: dict[str, Any], expected: RuntimeSettings) -> None:
    assert RuntimeSettings.read(config) == expected
    assert expected.place[1] in (11434, 8080)


@pytest.mark.parametrize(
    "raw",
    [
        {"kind": "magic"},
        {"kind": "none"},
        {},
        {"base_url": "ftp://x"},
        {"base_url": "http://"},
        {"base_url": "http://h:0"},
        5,
    ],
)
def test_settings_that_name_no_server_say_so(raw: Any) -> None:
    settings = RuntimeSettings.read({"runtime": raw})
    assert settings.problem
    with pytest.raises(RuntimeFailure, match="runtime"):
        settings.place  # noqa: B018


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:8080/v1", True),
        ("http://localhost:11434", True),
        ("http://[::1]:11434", True),
        ("https://127.0.0.1:8080", False),  # encrypted
        ("http://models.example:8080/v1", False),  # perhaps behind a proxy
        ("http://127.0.0.2:8080", False),
        ("http://me:secret@127.0.0.1:8080", False),
        ("http://127.0.0.1:8080/v1?key=a", False),
        ("http://127.0.0.1:8080/v 1", False),
        ("http://127.0.0.1:8080/ä", False),
    ],
)
def test_which_servers_a_plain_request_can_ask(url: str, expected: bool) -> None:
    assert RuntimeSettings("openai", url).is_plain is expected
    assert not RuntimeSettings("openai", url, problem="no address").is_plain


async def plain_answer(said: bytes, body: bytes | None = None) -> tuple[int, bytes, bytes]:
    """Status and body of what a server said, and the request that it heard."""
    ours, theirs = trio.testing.memory_stream_pair()
    await theirs.send_all(said)
    await theirs.send_eof()
    url = "http://127.0.0.1:8080/v1/models"
    status, data = await plain.ask(ours, url, body, {"Authorization": "Bearer k"}, 20, "model server")
    return status, data, bytes(await theirs.receive_some())


@pytest.mark.parametrize(
    ("said", "status", "data"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", 200, b"{}"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n", 200, b"{}"),
        (b"HTTP/1.0 200 OK\r\n\r\n{}", 200, b"{}"),
        (b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", 404, b""),
    ],
)
async def test_a_plain_request(said: bytes, status: int, data: bytes) -> None:
    *answer, heard = await plain_answer(said)
    assert answer == [status, data]
    assert heard == (
        b"GET /v1/models HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nConnection: close\r\nAuthorization: Bearer k\r\n\r\n"
    )
    *_, heard = await plain_answer(said, b'{"model":"a"}')
    assert heard.startswith(b"POST /v1/models HTTP/1.1\r\n")
    assert heard.endswith(b'Content-Length: 13\r\n\r\n{"model":"a"}')


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (b"", "broken"),
        (b"SSH-2.0-OpenSSH\r\n", "broken"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}", "broken"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000, "broken"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 21, "garbage"),
    ],
)
async def test_what_a_plain_request_is_told_instead(said: bytes, kind: str) -> None:
    with pytest.raises(RuntimeFailure) as caught:
        await plain_answer(said)
    assert caught.value.kind == kind
    assert "model server" in str(caught.value)


async def test_a_plain_request_to_a_server_that_leaves() -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    await theirs.aclose()
    with pytest.raises(RuntimeFailure, match="connection to the model server failed"):
        await plain.ask(ours, "http://127.0.0.1:8080", None, {}, 20, "model server")


def test_a_key_that_no_header_can_carry_is_told() -> None:
    raw = {"runtime": {"base_url": "http://h", "api_key": "schlüssel"}}
    assert "api_key" in RuntimeSettings.read(raw).problem
