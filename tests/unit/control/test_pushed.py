"""Frames that are pushed to one client, byte for byte (spec 05 §10.2)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from myownmesh.control.pushed import (
    ChannelInbound,
    HandlerDisplaced,
    RpcCallStreamChunk,
    RpcCallStreamEnd,
    RpcInbound,
)

if TYPE_CHECKING:
    from myownmesh.control.pushed import Pushed

FRAMES: list[tuple[Pushed, bytes]] = [
    (
        RpcInbound("home", "a2b3", "r1", "echo", Raw(b'{ "x": 1 }'), False),
        b'{"kind":"rpc_inbound","network":"home","from":"a2b3","request_id":"r1","method":"echo","payload":{ "x": 1 },'
        b'"streaming":false}\n',
    ),
    (
        RpcCallStreamChunk("ipc-stream-0", Raw(b"null")),
        b'{"kind":"rpc_call_stream_chunk","request_id":"ipc-stream-0","payload":null}\n',
    ),
    (
        RpcCallStreamEnd("ipc-stream-0", None),
        b'{"kind":"rpc_call_stream_end","request_id":"ipc-stream-0","error":null}\n',
    ),
    (
        RpcCallStreamEnd("ipc-stream-0", 'no "x"'),
        b'{"kind":"rpc_call_stream_end","request_id":"ipc-stream-0","error":"no \\"x\\""}\n',
    ),
    (
        ChannelInbound("Büro", "a2b3", "chat", Raw(b"1.0")),
        '{"kind":"channel_inbound","network":"Büro","from":"a2b3","channel":"chat","payload":1.0}\n'.encode(),
    ),
    (
        HandlerDisplaced("home", "echo", "client-2"),
        b'{"kind":"handler_displaced","network":"home","method":"echo","by":"client-2"}\n',
    ),
]


@pytest.mark.parametrize(("frame", "line"), FRAMES, ids=lambda value: type(value).__name__)
def test_a_frame_is_one_line(frame: Pushed, line: bytes) -> None:
    assert frame.line() == line


@given(st.lists(st.sampled_from(["[", "1", ",", "\n", "\r\n", '"a\\nb"'])).map("".join), st.text())
def test_line_feeds_between_tokens_become_spaces_and_nothing_else_changes(payload: str, name: str) -> None:
    line = ChannelInbound(name, "a2b3", "chat", Raw(payload.encode())).line()
    head = json.dumps({"kind": "channel_inbound", "network": name, "from": "a2b3", "channel": "chat"})[:-1]
    assert line.endswith(b',"payload":' + payload.replace("\n", " ").encode() + b"}\n")
    assert line.count(b"\n") == 1
    assert json.loads(line[: line.rindex(b',"payload":')] + b"}") == json.loads(head + "}")
