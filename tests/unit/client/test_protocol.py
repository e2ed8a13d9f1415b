"""Lines, answers and bounds of the control protocol."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mesh_common.client.errors import ControlError, ErrorKind
from mesh_common.client.protocol import (
    ENGINE_TIMEOUT_S,
    FAST_TIMEOUT_S,
    MAX_NAME_BYTES,
    MAX_PAYLOAD_BYTES,
    MAX_REQUEST_BYTES,
    LineBuffer,
    answer_data,
    check_traffic,
    parse_object,
    request_line,
    subscription_id,
    timeout_of,
)
from support.vectors import load


def kind_of(act: Any, *arguments: object) -> ErrorKind:
    with pytest.raises(ControlError) as caught:
        act(*arguments)
    return caught.value.kind


@given(st.lists(st.binary(max_size=8).filter(lambda line: b"\n" not in line and b"\r" not in line)), st.data())
def test_lines_do_not_depend_on_how_they_arrive(lines: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(line + data.draw(st.sampled_from([b"\n", b"\r\n"])) for line in lines) + b"rest"
    buffer, found = LineBuffer(), []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        found += buffer.feed(stream[:size])
        stream = stream[size:]
    assert found == lines
    assert buffer.rest() == b"rest"
    assert buffer.rest() == b""


def test_a_line_without_end_is_not_kept() -> None:
    buffer = LineBuffer(limit=8)
    assert buffer.feed(b"12345678") == []
    assert kind_of(buffer.feed, b"9") is ErrorKind.PROTOCOL


@pytest.mark.parametrize("op", load("control-socket", "ops"), ids=lambda op: op["op"])
def test_every_request_of_the_vectors_can_be_written(op: dict[str, Any]) -> None:
    members = {name: value for name, value in op["request"].items() if name != "op"}
    line = request_line(op["op"], members)
    assert json.loads(line) == op["request"]
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), b"bytes", "\ud800", {1, 2}])
def test_what_json_cannot_carry_is_never_sent(value: object) -> None:
    assert kind_of(request_line, "rpc_call", {"payload": value}) is ErrorKind.INVALID


def test_a_payload_that_holds_itself_is_never_sent() -> None:
    loop: list[object] = []
    loop.append(loop)
    assert kind_of(request_line, "rpc_call", {"payload": loop}) is ErrorKind.INVALID


def test_bounds_of_requests() -> None:
    """FE-4.4, FE-4.15."""
    check_traffic({"payload": "x" * (MAX_PAYLOAD_BYTES - 2), "method": "m" * MAX_NAME_BYTES})
    assert kind_of(check_traffic, {"payload": "x" * (MAX_PAYLOAD_BYTES - 1)}) is ErrorKind.TOO_LARGE
    assert kind_of(check_traffic, {"ok": "ä" * (MAX_PAYLOAD_BYTES // 2)}) is ErrorKind.TOO_LARGE
    assert kind_of(check_traffic, {"method": "m" * (MAX_NAME_BYTES + 1)}) is ErrorKind.INVALID
    assert kind_of(check_traffic, {"channel": "ä" * MAX_NAME_BYTES}) is ErrorKind.INVALID
    assert kind_of(request_line, "network_add", {"config": "x" * MAX_REQUEST_BYTES}) is ErrorKind.TOO_LARGE


@pytest.mark.parametrize(
    ("line", "data"),
    [
        (b'{"ok":true,"data":{"a":1}}', {"a": 1}),
        (b'{"ok":true}', None),
        (b'{"more":1,"ok":true,"data":null,"error":null}', None),
        (b'{"ok":true,"data":5}', 5),
    ],
)
def test_answers(line: bytes, data: object) -> None:
    assert answer_data(line) == data


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b" ",
        b"[]",
        b"5",
        b"{",
        b'{"ok":1}',
        b"{}",
        b'{"ok":"true"}',
        b"\xff",
        b'{"ok":true,"data":NaN}',
        b"[" * 9999,
    ],
)
def test_what_is_no_answer(line: bytes) -> None:
    assert kind_of(answer_data, line) is ErrorKind.PROTOCOL


def test_refusals_carry_the_daemons_text() -> None:
    with pytest.raises(ControlError, match="unknown network: home") as caught:
        answer_data(b'{"ok":false,"error":"unknown network: home"}')
    assert caught.value.kind is ErrorKind.UNKNOWN_NETWORK
    with pytest.raises(ControlError, match="no error message"):
        answer_data(b'{"ok":false,"error":null}')


def test_subscriptions() -> None:
    assert subscription_id({"subscribed": True, "client_id": "c0"}) == "c0"
    for data in ({"subscribed": True}, None, {"client_id": 0}, {"client_id": ""}):
        assert kind_of(subscription_id, data) is ErrorKind.PROTOCOL


def test_operations_that_may_wait_for_an_engine_get_more_time() -> None:
    """FE-4.3."""
    assert timeout_of("status") == FAST_TIMEOUT_S
    assert timeout_of("network_remove") == timeout_of("not known") == ENGINE_TIMEOUT_S


def test_texts_of_a_line_can_be_written_again() -> None:
    """Half a surrogate pair has no spelling in UTF-8; whoever sends one must not end whoever writes it."""
    line = rb'{"half":"a\ud800b","whole":"\ud83d\ude00","\udfff":[{"x":"\uDBFF"}]}'
    value = parse_object(line)
    assert value == {"half": r"a\ud800b", "whole": "😀", r"\udfff": [{"x": r"\udbff"}]}
    assert json.dumps(value, ensure_ascii=False).encode()


_PADDING = b'{"padding":"' + b"x" * 4096 + b'"'
"""What makes a line a long one, which another parser reads first."""
_TEXTS = st.one_of(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=8,
    ).map(lambda value: json.dumps(value).encode()),
    st.text(alphabet='{}[]:,"\\ud8cD019.eE+-nulltrefNaN \t', max_size=12).map(str.encode),
    st.binary(max_size=8),
)


def _outcome(line: bytes) -> object:
    try:
        return repr(parse_object(line))
    except ControlError as error:
        return error.kind


@given(_TEXTS)
@example(b"1E400")
@example(b'"\\ud800"')
@example(b'"\\ud83d\\ude00"')
@example(b'"\xff"')
@example(b"123456789012345678901234567890")
@example(b'{"a":1,"a":2}')
def test_a_long_line_is_read_like_a_short_one(text: bytes) -> None:
    short = _outcome(b'{"padding":"","value":' + text + b"}")
    long = _outcome(_PADDING + b',"value":' + text + b"}")
    assert long == (short if isinstance(short, ErrorKind) else str(short).replace("''", "'" + "x" * 4096 + "'", 1))
