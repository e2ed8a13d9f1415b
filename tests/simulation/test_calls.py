"""Calls, streams and channels between devices, over the switch that the daemon runs too."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import msgspec
import pytest

from myownmesh.mesh.errors import NotLinked
from myownmesh.mesh.link import MAX_QUEUED_BYTES, QUEUE_FULL, SEND_TIMEOUT_S, TIMED_OUT
from myownmesh.mesh.rpc import NETWORK_DOWN
from myownmesh.mesh.rpc import TIMED_OUT as CALL_TIMED_OUT
from myownmesh.protocol.frames import Channel
from myownmesh.simulator import World
from myownmesh.simulator.session import BACKLOG_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

    from myownmesh.mesh.rpc import InboundCall
    from myownmesh.simulator import Node

QUESTION = msgspec.Raw(b'{"q":"6*7"}')
ANSWER = msgspec.Raw(b"42")
BULK = msgspec.Raw(b'"' + b"x" * 60_000 + b'"')


def linked(seed: int = 1) -> tuple[World, Node, Node]:
    world = World(seed)
    low, high = world.pair()
    world.run_until(world.all_linked, within=1.0)
    return world, low, high


def listen(node: Node, channel: str) -> list[tuple[str, int]]:
    """Sender and size of what comes."""
    heard: list[tuple[str, int]] = []
    node.switch.channels.listen(channel, lambda peer, payload: heard.append((peer, len(bytes(payload)))))
    return heard


def answer_after(world: World, seconds: float) -> Callable[[InboundCall], None]:
    def answer(call: InboundCall) -> None:
        if not call.closed:
            call.respond(ANSWER, None)

    return lambda call: world.clock.after(seconds, partial(answer, call))


@pytest.mark.parametrize("who", ["low", "high"])
def test_a_call_is_answered_in_a_round_trip(who: str) -> None:
    world, low, high = linked()
    here, there = (low, high) if who == "low" else (high, low)
    asked: list[tuple[str, bytes]] = []

    def handler(call: InboundCall) -> None:
        asked.append((call.peer, bytes(call.payload)))
        call.respond(ANSWER, None)

    there.switch.rpc.serve("calc", handler, streaming=False)
    began = world.clock.seconds
    call = here.call(there, "calc", QUESTION)
    world.run_until(call.is_there, within=0.1)
    assert (call.ok, call.error) == (b"42", None)
    assert call.at == pytest.approx(began + 2 * world.wire.latency_s)
    assert asked == [(here.device_id, bytes(QUESTION))]


def test_a_method_that_nobody_serves_is_refused() -> None:
    world, low, high = linked()
    call = low.call(high, "nope", QUESTION)
    world.run_until(call.is_there, within=0.1)
    assert call.error == "handler returned error: no handler for 'nope'"


def test_a_call_that_nobody_answers_ends_at_its_time() -> None:
    world, low, high = linked()
    high.switch.rpc.serve("slow", answer_after(world, 60.0), streaming=False)
    began = world.clock.seconds
    call = low.call(high, "slow", QUESTION, timeout_s=5.0)
    world.run(30.0)
    assert call.at == pytest.approx(began + 5.0)
    assert call.error == CALL_TIMED_OUT


def test_a_stream_arrives_in_order_and_ends() -> None:
    world, low, high = linked()

    def count(call: InboundCall) -> None:
        for number in range(20):
            call.post_chunk(msgspec.Raw(b"%d" % number), lambda error: None)
        call.end(None)

    high.switch.rpc.serve("count", count, streaming=True)
    stream = low.call_stream(high, "count", QUESTION)
    world.run(0.1)
    assert stream.chunks == [b"%d" % number for number in range(20)]
    assert stream.ends == [None]


def test_a_message_reaches_who_listens_and_a_broadcast_everybody() -> None:
    world = World(3)
    nodes = [world.node(identity) for identity in world.identities(4)]
    world.run_until(world.all_linked, within=2.0)
    heard = [listen(node, "chat") for node in nodes]
    counts: list[int] = []
    nodes[0].send(nodes[1], Channel(channel="chat", payload=ANSWER))
    nodes[0].switch.broadcast("chat", QUESTION, counts.append)
    nodes[0].switch.broadcast("elsewhere", QUESTION, counts.append)
    world.run(0.1)
    sender = nodes[0].device_id
    assert counts == [3, 3]
    assert heard == [
        [],
        [(sender, len(bytes(ANSWER))), (sender, len(bytes(QUESTION)))],
        [(sender, len(bytes(QUESTION)))],
        [(sender, len(bytes(QUESTION)))],
    ]


@pytest.mark.parametrize("how", ["leave", "kill", "cut"])
def test_a_peer_that_is_lost_fails_its_calls_once_and_takes_its_own_with_it(how: str) -> None:
    world, low, high = linked()
    gone: list[str] = []

    def never(call: InboundCall) -> None:
        call.on_gone = lambda: gone.append(call.peer)

    for node in (low, high):
        node.switch.rpc.serve("wait", never, streaming=False)
        node.switch.rpc.serve("watch", never, streaming=True)
    call, stream = low.call(high, "wait", QUESTION), low.call_stream(high, "watch", QUESTION)
    high.call(low, "wait", QUESTION)
    world.run(1.0)
    assert not call.is_there()
    match how:
        case "leave":
            high.leave()
        case "kill":
            high.kill()
        case _:
            world.cut(low, high)
    world.run_until(call.is_there, within=120.0)
    assert call.error == NETWORK_DOWN
    assert stream.ends == [NETWORK_DOWN]
    assert high.device_id in gone, "low's handler was told that its caller is gone"
    with pytest.raises(NotLinked):
        low.send(high, Channel(channel="c", payload=ANSWER))
    refused = low.call(high, "wait", QUESTION)
    assert refused.error == f"peer peer not found: {high.device_id} not in active set"


def test_an_answer_over_the_next_link_is_not_taken_for_the_old_call() -> None:
    world, low, high = linked()
    high.switch.rpc.serve("slow", answer_after(world, 3.0), streaming=False)
    call = low.call(high, "slow", QUESTION)
    world.run(0.1)
    high.kill()
    again = world.node(high.identity)
    world.run_until(lambda: low.is_linked(again) and again.is_linked(low), within=0.5)
    assert call.error == NETWORK_DOWN
    world.run(10.0)
    assert call.error == NETWORK_DOWN


def test_what_an_overloaded_link_cannot_take_is_lost_after_two_seconds() -> None:
    """Spec 01 §12: every send is bounded; what the buffer took still arrives, in order."""
    world, low, high = linked()
    heard = listen(high, "bulk")
    world.wire.bytes_per_s[low.device_id] = 20_000.0
    began = world.clock.seconds
    sends = [low.send(high, Channel(channel="bulk", payload=BULK)) for _ in range(10)]
    at_once = [send for send in sends if send.is_there()]
    assert [send.error for send in at_once] == [None] * len(at_once)
    assert len(at_once) == BACKLOG_BYTES // len(bytes(BULK)) + 1
    world.run(SEND_TIMEOUT_S + 0.01)
    late = sends[len(at_once) :]
    assert [send.at for send in late] == [pytest.approx(began + SEND_TIMEOUT_S)] * len(late)
    assert [send.error for send in late] == [TIMED_OUT] * len(late)
    world.run(60.0)
    assert len(heard) == len(at_once)
    assert world.all_linked(), "bulk has not pushed the pings out"


def test_a_call_over_a_link_that_is_full_but_moving_does_not_wait_for_the_bulk() -> None:
    world, low, high = linked()
    heard = listen(high, "bulk")
    high.switch.rpc.serve("calc", lambda call: call.respond(ANSWER, None), streaming=False)
    world.wire.bytes_per_s[low.device_id] = 400_000.0
    sends = [low.send(high, Channel(channel="bulk", payload=BULK)) for _ in range(10)]
    call = low.call(high, "calc", QUESTION)
    world.run_until(call.is_there, within=5.0)
    assert call.ok == b"42"
    assert len(heard) < len(sends), "only what the buffer had taken came before it"
    assert [send.error for send in sends] == [None] * 10


def test_a_queue_that_is_full_says_so_at_once() -> None:
    world, low, high = linked()
    world.wire.bytes_per_s[low.device_id] = 1.0
    sends = [low.send(high, Channel(channel="bulk", payload=BULK)) for _ in range(MAX_QUEUED_BYTES // 60_000 + 10)]
    refused = [send for send in sends if send.is_there() and send.error is not None]
    assert {send.error for send in refused} == {QUEUE_FULL}
    assert len(refused) >= 3


def test_a_peer_that_leaves_ends_what_waits_for_its_link() -> None:
    world, low, high = linked()
    world.wire.bytes_per_s[low.device_id] = 20_000.0
    sends = [low.send(high, Channel(channel="bulk", payload=BULK)) for _ in range(8)]
    world.run(0.1)
    high.leave()
    world.run(1.0)
    assert low.drops() == ["user_left"]
    assert all(send.is_there() for send in sends)
    assert sends[-1].error == "transport: data channel not open"
