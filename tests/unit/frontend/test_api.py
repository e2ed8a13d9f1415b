"""The local API's pure parts: who may use it, what it reads, what it writes, and what failures look like (FE-10.5)."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh_common.client.errors import ControlError, ErrorKind, stream_failure
from myownllm.api import requests
from myownllm.api.answers import ChatAnswer
from myownllm.api.failures import ApiError, api_error, error_body
from myownllm.api.guard import Head, check, cors_headers
from myownllm.api.settings import ApiSettings
from myownllm.errors import AppError
from myownllm.inference.picks import HostError
from myownllm.runtimes import RuntimeFailure
from myownllm.runtimes.chat import Delta, Finished, Thinking, ToolCall, Usage

if TYPE_CHECKING:
    from myownllm.api.answers import Completion

HOST = {"host": "127.0.0.1:1473"}
LOCAL = "127.0.0.1"


def refusal(settings: ApiSettings, path: str = "/v1/models", **headers: str) -> str:
    try:
        check(Head("GET", path, {**HOST, **headers}), settings, LOCAL)
    except ApiError as error:
        return error.code
    return ""


@pytest.mark.parametrize("host", ["127.0.0.1:1473", "localhost", "LOCALHOST:80", "[::1]:1473", "127.9.9.9"])
def test_programs_of_this_machine_are_served(host: str) -> None:
    assert refusal(ApiSettings(), host=host) == ""


@pytest.mark.parametrize("host", ["", "evil.example", "127.0.0.1.evil.example", "localhost.evil:1473", "10.0.0.5", "["])
def test_other_names_for_this_machine_are_refused(host: str) -> None:
    assert refusal(ApiSettings(), host=host) == "forbidden_host"


def test_an_address_that_was_chosen_is_served() -> None:
    assert refusal(ApiSettings(host="10.0.0.5"), host="10.0.0.5:1473") == ""
    check(Head("GET", "/", {"host": "10.0.0.6"}), ApiSettings(host="0.0.0.0"), "10.0.0.6")


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "", "https://127.0.0.1:1473", "http://localhost:3000", "x" * 400]
)
def test_pages_of_other_origins_are_refused_unless_all_may(origin: str) -> None:
    assert refusal(ApiSettings(), origin=origin) == "forbidden_origin"
    assert refusal(ApiSettings(cors_allow_all=True), origin=origin) == ""


def test_pages_of_this_very_server_are_served() -> None:
    assert refusal(ApiSettings(), origin="http://127.0.0.1:1473") == ""


def test_the_token_is_wanted_where_one_is_set() -> None:
    settings = ApiSettings(bearer_token="s3cret")
    assert refusal(settings) == "invalid_api_key"
    assert refusal(settings, authorization="Bearer wrong") == "invalid_api_key"
    assert refusal(settings, authorization="Basic s3cret") == "invalid_api_key"
    assert refusal(settings, authorization="Bearer s3crét") == "invalid_api_key"
    assert refusal(settings, authorization="bearer s3cret") == ""
    assert refusal(settings, path="/healthz") == ""
    assert refusal(settings, path="/healthz", host="evil.example") == "forbidden_host"


def test_cors_headers_only_when_wanted() -> None:
    assert cors_headers(ApiSettings()) == []
    assert ("Access-Control-Allow-Origin", "*") in cors_headers(ApiSettings(cors_allow_all=True))


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (None, ApiSettings()),
        ({"enabled": False, "port": 99999, "host": 5, "bearer_token": ""}, ApiSettings(enabled=False)),
        ({"port": True}, ApiSettings()),
        ({"host": "0.0.0.0", "bearer_token": "t"}, ApiSettings(host="0.0.0.0", bearer_token="t")),
    ],
)
def test_settings(raw: Any, expected: ApiSettings) -> None:
    assert ApiSettings.read({"api": raw}) == expected


def test_the_network_is_let_in_with_a_token_only() -> None:
    for host in ("0.0.0.0", "example.org"):
        assert "bearer_token" in ApiSettings.read({"api": {"host": host}}).problem
    for host in ("localhost", "::1", "127.0.0.9"):
        assert not ApiSettings.read({"api": {"host": host}}).problem


# ── failures ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (HostError("device_away", "Pi is offline"), 503, "device_away"),
        (HostError("device_busy", "x"), 429, "device_busy"),
        (HostError("pinned_offline", "x"), 503, "pinned_offline"),
        (RuntimeFailure("down", "x"), 503, "model_server_down"),
        (RuntimeFailure("refused", "x", 404), 404, "model_server_refused"),
        (RuntimeFailure("refused", "x", 500), 502, "model_server_refused"),
        (RuntimeFailure("timeout", "x"), 504, "model_server_timeout"),
        (stream_failure("local accepting policy is busy"), 429, "device_busy"),
        (stream_failure("host busy"), 429, "device_busy"),
        (stream_failure("no local LLM available"), 404, "no_model"),
        (stream_failure("it exploded"), 502, "device_failed"),
        (ControlError(ErrorKind.TIMEOUT, "x"), 504, "device_silent"),
        (ControlError(ErrorKind.NOT_CONNECTED, "x"), 503, "device_away"),
        (AppError("x"), 502, "failed"),
        (ApiError(418, "teapot", "x"), 418, "teapot"),
    ],
)
def test_every_failure_has_a_status_a_code_and_its_reason(error: Exception, status: int, code: str) -> None:
    told = api_error(error)
    assert (told.status, told.code, str(told)) == (status, code, str(error))
    assert error_body(told)["error"].keys() == {"message", "type", "param", "code"}


# ── requests ──────────────────────────────────────────────────────────────────────────────────────────────────────────

HELLO = {"role": "user", "content": "hello"}


def test_a_chat_request_is_read() -> None:
    asked = requests.read_chat(
        {
            "model": "m@Pi",
            "messages": [
                {"role": "developer", "content": [{"type": "text", "text": "be "}, {"type": "text", "text": "kind"}]},
                {**HELLO, "name": None},
            ],
            "tools": [{"type": "function", "function": {"name": "f"}}],
            "max_completion_tokens": 7,
            "temperature": 0.5,
            "stream": True,
            "stream_options": {"include_usage": True},
            "user": "ignored",
        }
    )
    assert (asked.model, asked.stream, asked.usage) == ("m@Pi", True, True)
    assert asked.chat.messages == ({"role": "system", "content": "be kind"}, HELLO)
    assert asked.chat.options == {"max_tokens": 7, "temperature": 0.5}
    assert len(asked.chat.tools) == 1
    assert requests.read_chat({"messages": [HELLO], "tools": [{}], "tool_choice": "none"}).chat.tools == ()
    assert requests.read_chat({"messages": [HELLO], "model": "default"}).model == ""


@pytest.mark.parametrize(
    "body",
    [
        None,
        {},
        {"messages": [5]},
        {"messages": [HELLO], "n": 2},
        {"messages": [HELLO], "model": 5},
        {"messages": [HELLO], "tools": "x"},
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:"}}]}]},
    ],
)
def test_a_bad_chat_request_is_refused(body: Any) -> None:
    with pytest.raises(ApiError) as caught:
        requests.read_chat(body)
    assert caught.value.status == 400


MEMBERS = ["messages", "role", "content", "tools", "model", "text", "prompt", "input", "tool_calls"]
LEAVES = st.none() | st.booleans() | st.just(1) | st.just("user")
NEARLY = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(MEMBERS), inner, max_size=3),
    max_leaves=8,
)


@given(NEARLY)
def test_no_json_makes_a_request_fail_otherwise(body: Any) -> None:
    for read in (requests.read_chat, requests.read_completion, requests.read_embedding):
        with contextlib.suppress(ApiError):
            read(body)


def test_completions_and_embeddings() -> None:
    assert requests.read_completion({"prompt": ["once"]}).chat.messages == ({"role": "user", "content": "once"},)
    with pytest.raises(ApiError, match="one text"):
        requests.read_completion({"prompt": ["a", "b"]})
    assert requests.read_embedding({"model": "e", "input": ["a"], "user": "x"}) == ("e", {"input": ["a"]})
    with pytest.raises(ApiError, match="input"):
        requests.read_embedding({"input": []})


# ── answers ───────────────────────────────────────────────────────────────────────────────────────────────────────────

CALLS = [ToolCall("f", {"a": 1}), ToolCall("g", "{oh", "mine")]
PIECES = [Thinking("hm"), Delta("yes"), *CALLS, Usage(3, 4), Finished("stop")]


def written(answer: Completion) -> Any:
    return msgspec.json.decode(msgspec.json.encode(answer))


def answer() -> ChatAnswer:
    return ChatAnswer("chatcmpl-0123456789abcdef", "m", 1)


def test_a_whole_answer() -> None:
    whole = answer()
    whole.gather(PIECES)
    said = written(whole.whole())
    assert said["choices"][0]["finish_reason"] == "tool_calls"
    assert said["choices"][0]["message"] == {
        "role": "assistant",
        "content": "yes",
        "reasoning_content": "hm",
        "tool_calls": [
            {"id": "call_0123456789ab_0", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}},
            {"id": "mine", "type": "function", "function": {"name": "g", "arguments": "{oh"}},
        ],
    }
    assert said["usage"]["total_tokens"] == 7
    cut = answer()
    cut.gather([Delta("half"), Finished("length")])
    assert written(cut.whole_text())["choices"][0] == {
        "index": 0,
        "text": "half",
        "logprobs": None,
        "finish_reason": "length",
    }
    assert "usage" not in written(cut.whole())


def test_a_streamed_answer_says_the_same() -> None:
    streamed = answer()
    chunks = [*map(written, [streamed.first(), *streamed.chunks(PIECES), *streamed.last(usage=True)])]
    deltas = [c["choices"][0]["delta"] for c in chunks if c["choices"]]
    assert deltas[:3] == [{"role": "assistant", "content": ""}, {"reasoning_content": "hm"}, {"content": "yes"}]
    assert [d["tool_calls"][0]["index"] for d in deltas[3:5]] == [0, 1]
    assert chunks[-2]["choices"][0]["finish_reason"] == "tool_calls"
    assert (chunks[-1]["choices"], chunks[-1]["usage"]["prompt_tokens"]) == ([], 3)
    assert len(answer().last(usage=True)) == 1
    words = answer()
    assert written(words.text_chunks([Delta("a"), Usage(1, 1)])[0])["choices"][0]["text"] == "a"
    assert written(words.last_text())["choices"][0]["finish_reason"] == "stop"
