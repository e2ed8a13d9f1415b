"""Calls over the mesh, both sides, without any transport (spec 01 §11 and its rules for us)."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from myownmesh.mesh.errors import DoesNotFit, MeshError, NotLinked
from myownmesh.mesh.rpc import MAX_INBOUND_PER_PEER, NETWORK_DOWN, STREAM_GAP, TIMED_OUT, InboundCall, Rpc
from myownmesh.protocol.codec import FrameTooLarge
from myownmesh.protocol.frames import RpcRequest, RpcResponse, RpcStreamChunk, RpcStreamEnd

if TYPE_CHECKING:
    from collections.abc import Callable

    from myownmesh.protocol.frames import Frame

PEER, OTHER = "a" * 52, "b" * 51 + "a"
ONE, TWO, NULL = msgspec.Raw(b"1"), msgspec.Raw(b"2"), msgspec.Raw(b"null")


class Wire:
    """Records what is sent; can refuse, and can lose a frame later."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, Any]] = []
        self.refuse: MeshError | None = None
        self.lose: str | None = None
        self.too_large: type[Any] | None = None
        self.urgent: list[bool] = []

    def __call__(self, peer: str, frame: Frame, done: Callable[[str | None], None], *, urgent: bool = False) -> int:
        self.urgent.append(urgent)
        if self.refuse is not None:
            raise self.refuse
        if self.too_large is not None and isinstance(frame, self.too_large):
            raise DoesNotFit("transport: frame of 70000 bytes exceeds the 65535-byte limit")
        self.sent.append((peer, frame))
        done(self.lose)
        return 7


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
def rpc(wire: Wire) -> Rpc:
    return Rpc(wire, random.Random(1))


class Answers(list[tuple[Any, str | None]]):
    def __call__(self, ok: msgspec.Raw | None, error: str | None) -> None:
        self.append((None if ok is None else bytes(ok), error))


class Stream:
    def __init__(self) -> None:
        self.chunks: list[bytes] = []
        self.ends: list[str | None] = []

    def chunk(self, payload: msgspec.Raw) -> None:
        self.chunks.append(bytes(payload))

    def end(self, error: str | None) -> None:
        self.ends.append(error)


def call(rpc: Rpc, answers: Answers, *, peer: str = PEER, timeout_s: float = 600.0) -> Callable[[], None]:
    return rpc.call(peer, "echo", ONE, answers, now_s=0.0, timeout_s=timeout_s)


def request_id(wire: Wire) -> str:
    _, frame = wire.sent[-1]
    assert isinstance(frame.request_id, str)
    return frame.request_id


# ── caller ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_call_is_answered(rpc: Rpc, wire: Wire) -> None:
    answers = Answers()
    call(rpc, answers)
    peer, frame = wire.sent[0]
    assert (peer, frame.method, frame.streaming, bytes(frame.payload)) == (PEER, "echo", False, b"1")
    assert len(frame.request_id) == 20
    rpc.receive(PEER, 7, RpcResponse(request_id=frame.request_id, ok=TWO))
    assert answers == [(b"2", None)]


def test_an_answer_without_a_value_is_null(rpc: Rpc, wire: Wire) -> None:
    answers = Answers()
    call(rpc, answers)
    rpc.receive(PEER, 7, RpcResponse(request_id=request_id(wire)))
    assert answers == [(None, None)]


def test_an_error_wins_over_a_value(rpc: Rpc, wire: Wire) -> None:
    answers = Answers()
    call(rpc, answers)
    rpc.receive(PEER, 7, RpcResponse(request_id=request_id(wire), ok=TWO, error="no"))
    assert answers == [(None, "handler returned error: no")]


def test_the_answer_of_another_peer_is_ignored(rpc: Rpc, wire: Wire) -> None:
    answers = Answers()
    call(rpc, answers)
    rpc.receive(OTHER, 8, RpcResponse(request_id=request_id(wire), ok=TWO))
    assert answers == []


def test_a_second_answer_is_ignored(rpc: Rpc, wire: Wire) -> None:
    answers = Answers()
    call(rpc, answers)
    for _ in range(2):
        rpc.receive(PEER, 7, RpcResponse(request_id=request_id(wire), ok=TWO))
    assert len(answers) == 1


def test_a_lost_link_fails_its_calls_at_once(rpc: Rpc, wire: Wire) -> None:
    answers, stream = Answers(), Stream()
    call(rpc, answers)
    rpc.call_stream(PEER, "count", ONE, stream.chunk, stream.end)
    rpc.link_down(PEER, 6)
    assert answers == []
    assert rpc.under_way == 2
    rpc.link_down(PEER, 7)
    assert answers == [(None, NETWORK_DOWN)]
    assert stream.ends == [NETWORK_DOWN]
    assert rpc.under_way == 0


def test_an_unknown_peer_is_worded_as_in_calls(rpc: Rpc, wire: Wire) -> None:
    wire.refuse = NotLinked(f"peer {PEER} not found in active set")
    answers, stream = Answers(), Stream()
    call(rpc, answers)
    assert answers == [(None, f"peer peer not found: {PEER} not in active set")]
    with pytest.raises(MeshError, match=f"peer peer not found: {PEER} not in active set"):
        rpc.call_stream(PEER, "count", ONE, stream.chunk, stream.end)
    assert stream.ends == []


def test_a_request_that_is_lost_on_the_way_out_fails(rpc: Rpc, wire: Wire) -> None:
    wire.lose = "transport: peer send timed out"
    answers = Answers()
    call(rpc, answers)
    assert answers == [(None, "transport: peer send timed out")]


def test_a_call_times_out_and_a_late_answer_is_ignored(rpc: Rpc, wire: Wire) -> None:
    answers = Answers()
    call(rpc, answers, timeout_s=5.0)
    assert rpc.next_deadline == 5.0
    rpc.expire(4.9)
    assert answers == []
    rpc.expire(5.0)
    rpc.receive(PEER, 7, RpcResponse(request_id=request_id(wire), ok=TWO))
    assert answers == [(None, TIMED_OUT)]


def test_a_cancelled_call_says_nothing(rpc: Rpc, wire: Wire) -> None:
    answers = Answers()
    call(rpc, answers)()
    rpc.receive(PEER, 7, RpcResponse(request_id=request_id(wire), ok=TWO))
    rpc.link_down(PEER, 7)
    assert answers == []


def test_stream_chunks_come_in_order_until_the_end(rpc: Rpc, wire: Wire) -> None:
    stream = Stream()
    rpc.call_stream(PEER, "count", ONE, stream.chunk, stream.end)
    rid = request_id(wire)
    rpc.receive(PEER, 7, RpcStreamChunk(request_id=rid, seq=1, payload=ONE))
    rpc.receive(PEER, 7, RpcStreamChunk(request_id=rid, seq=2, payload=TWO))
    rpc.receive(PEER, 7, RpcStreamEnd(request_id=rid))
    rpc.receive(PEER, 7, RpcStreamChunk(request_id=rid, seq=3, payload=TWO))
    assert stream.chunks == [b"1", b"2"]
    assert stream.ends == [None]


def test_a_gap_in_the_stream_fails_it(rpc: Rpc, wire: Wire) -> None:
    stream = Stream()
    rpc.call_stream(PEER, "count", ONE, stream.chunk, stream.end)
    rpc.receive(PEER, 7, RpcStreamChunk(request_id=request_id(wire), seq=2, payload=ONE))
    assert stream.chunks == []
    assert stream.ends == [STREAM_GAP]


@pytest.mark.parametrize(
    ("ok", "error", "chunks", "end"),
    [
        (TWO, None, [b"2"], None),
        (None, None, [b"null"], None),
        (None, "no handler for 'count'", [], "no handler for 'count'"),
    ],
)
def test_a_single_answer_to_a_stream_call(
    rpc: Rpc, wire: Wire, ok: msgspec.Raw | None, error: str | None, chunks: list[bytes], end: str | None
) -> None:
    stream = Stream()
    rpc.call_stream(PEER, "count", ONE, stream.chunk, stream.end)
    rpc.receive(PEER, 7, RpcResponse(request_id=request_id(wire), ok=ok, error=error))
    assert stream.chunks == chunks
    assert stream.ends == [end]


def test_a_stream_end_to_a_single_call_is_an_error(rpc: Rpc, wire: Wire) -> None:
    answers = Answers()
    call(rpc, answers)
    rpc.receive(PEER, 7, RpcStreamEnd(request_id=request_id(wire)))
    assert answers == [(None, NETWORK_DOWN)]


# ── callee ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def request(rid: str = "r1", *, method: str = "echo", streaming: bool = False) -> RpcRequest:
    return RpcRequest(request_id=rid, method=method, payload=ONE, streaming=streaming)


class Served(list[InboundCall]):
    def __call__(self, call: InboundCall) -> None:
        self.append(call)


def test_an_unknown_method_is_refused_with_its_name(rpc: Rpc, wire: Wire) -> None:
    rpc.receive(PEER, 7, request(method="nope", streaming=True))
    assert wire.sent == [(PEER, RpcResponse(request_id="r1", ok=None, error="no handler for 'nope'"))]


def test_a_handler_answers_once(rpc: Rpc, wire: Wire) -> None:
    served = Served()
    rpc.serve("echo", served, streaming=False)
    rpc.receive(PEER, 7, request())
    served[0].respond(TWO, None)
    assert wire.sent == [(PEER, RpcResponse(request_id="r1", ok=TWO, error=None))]
    assert served[0].closed


def test_the_error_of_a_handler_goes_without_a_value(rpc: Rpc, wire: Wire) -> None:
    served = Served()
    rpc.serve("echo", served, streaming=False)
    rpc.receive(PEER, 7, request())
    served[0].respond(TWO, "broken")
    assert wire.sent == [(PEER, RpcResponse(request_id="r1", ok=None, error="broken"))]


def test_a_stream_counts_its_chunks_and_ends_once(rpc: Rpc, wire: Wire) -> None:
    served = Served()
    rpc.serve("count", served, streaming=True)
    rpc.receive(PEER, 7, request(method="count", streaming=True))
    results: list[str | None] = []
    served[0].post_chunk(ONE, results.append)
    served[0].post_chunk(TWO, results.append)
    served[0].end(None)
    served[0].end("again")
    assert [frame for _, frame in wire.sent] == [
        RpcStreamChunk(request_id="r1", seq=1, payload=ONE),
        RpcStreamChunk(request_id="r1", seq=2, payload=TWO),
        RpcStreamEnd(request_id="r1", error=None),
    ]
    assert results == [None, None]


def test_an_answer_that_does_not_fit_becomes_an_error_for_both_sides(rpc: Rpc, wire: Wire) -> None:
    served = Served()
    rpc.serve("echo", served, streaming=False)
    rpc.receive(PEER, 7, request())
    text = f"transport: {FrameTooLarge(70_000)}"

    def only_values(peer: str, frame: Frame, done: Callable[[str | None], None], *, urgent: bool = False) -> int:
        wire.too_large = RpcResponse if isinstance(frame, RpcResponse) and frame.error is None else None
        return wire(peer, frame, done, urgent=urgent)

    rpc.send = only_values
    with pytest.raises(MeshError, match="65535-byte limit"):
        served[0].respond(TWO, None)
    assert wire.sent == [(PEER, RpcResponse(request_id="r1", ok=None, error=text))]


def test_an_answer_that_a_congested_link_loses_is_followed_by_a_short_error(rpc: Rpc, wire: Wire) -> None:
    served = Served()
    rpc.serve("echo", served, streaming=False)
    rpc.receive(PEER, 7, request())
    wire.lose = "transport: peer send timed out"
    served[0].respond(TWO, None)
    assert wire.sent == [
        (PEER, RpcResponse(request_id="r1", ok=TWO, error=None)),
        (PEER, RpcResponse(request_id="r1", ok=None, error="transport: peer send timed out")),
    ]
    assert wire.urgent == [False, True]


def test_a_chunk_that_does_not_fit_ends_the_stream_with_an_error(rpc: Rpc, wire: Wire) -> None:
    served = Served()
    rpc.serve("count", served, streaming=True)
    rpc.receive(PEER, 7, request(method="count"))
    wire.too_large = RpcStreamChunk
    results: list[str | None] = []
    served[0].post_chunk(ONE, results.append)
    text = f"transport: {FrameTooLarge(70_000)}"
    assert results == [text]
    assert wire.sent == [(PEER, RpcStreamEnd(request_id="r1", error=text))]
    served[0].post_chunk(ONE, results.append)
    assert results[1] == "no in-flight inbound stream for 'r1'"


def test_a_callers_lost_link_closes_the_call_and_tells_the_handler(rpc: Rpc, wire: Wire) -> None:
    served, gone = Served(), []
    rpc.serve("echo", served, streaming=False)
    rpc.receive(PEER, 7, request())
    served[0].on_gone = lambda: gone.append(True)
    rpc.link_down(PEER, 7)
    rpc.link_down(PEER, 7)
    assert gone == [True]
    assert served[0].closed


def test_an_id_that_is_taken_does_not_reach_a_handler_twice(rpc: Rpc) -> None:
    served = Served()
    rpc.serve("echo", served, streaming=False)
    rpc.receive(PEER, 7, request())
    rpc.receive(PEER, 7, request())
    rpc.receive(OTHER, 8, request())
    assert [call.peer for call in served] == [PEER, OTHER]


def test_one_peer_cannot_pile_up_calls(rpc: Rpc, wire: Wire) -> None:
    served = Served()
    rpc.serve("echo", served, streaming=False)
    for number in range(MAX_INBOUND_PER_PEER + 1):
        rpc.receive(PEER, 7, request(f"r{number}"))
    assert len(served) == MAX_INBOUND_PER_PEER
    assert wire.sent[-1][1].error.startswith("too many calls")
    served[0].respond(NULL, None)
    rpc.receive(PEER, 7, request("next"))
    assert len(served) == MAX_INBOUND_PER_PEER + 1


def test_a_released_method_is_unknown_again(rpc: Rpc, wire: Wire) -> None:
    rpc.serve("echo", Served(), streaming=False)
    rpc.unserve("echo")
    rpc.receive(PEER, 7, request())
    assert wire.sent[-1][1].error == "no handler for 'echo'"


def test_shutting_down_fails_everything(rpc: Rpc) -> None:
    answers, stream, served, gone = Answers(), Stream(), Served(), []
    call(rpc, answers)
    rpc.call_stream(OTHER, "count", ONE, stream.chunk, stream.end)
    rpc.serve("echo", served, streaming=False)
    rpc.receive(PEER, 9, request())
    served[0].on_gone = lambda: gone.append(True)
    rpc.shut_down()
    assert answers == [(None, NETWORK_DOWN)]
    assert stream.ends == [NETWORK_DOWN]
    assert gone == [True]
