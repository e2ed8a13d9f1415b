"""Claims, subscriptions and inbound calls, without sockets."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from attrs import define, field
from msgspec import UNSET, Raw

from mesh_common.views import CapabilityAdvert, PeerInfo
from myownmesh.control.client_id import client_name
from myownmesh.control.inbound import FORGOTTEN_AFTER_S, OWNER_GONE
from myownmesh.control.reply import Reply
from myownmesh.control.request import ClientId
from myownmesh.control.traffic_ops import (
    ChannelSubscribe,
    ChannelUnsubscribe,
    RpcCall,
    RpcCallStream,
    RpcRegister,
    RpcRespond,
    RpcStreamChunk,
    RpcStreamEnd,
    RpcUnregister,
)
from myownmesh.mesh.errors import MeshError
from unit.control.fake_mesh import PEER, THIRD, FakeMesh, FakeNetwork, control_of, office

if TYPE_CHECKING:
    from myownmesh.control.clients import Client
    from myownmesh.control.control import Control

ALIAS, WIRE = "net_k3j2h1g0_m5x8", "office-mesh"


@define
class Sink:
    frames: list[dict[str, Any]] = field(factory=list)
    raw: list[bytes] = field(factory=list)

    def direct(self, line: bytes) -> None:
        assert line.endswith(b"\n")
        assert line.count(b"\n") == 1
        self.raw.append(line)
        self.frames.append(json.loads(line))

    event = direct


@define
class World:
    """One network, one control room, its clients; time is what the test says."""

    now: list[float] = field(factory=lambda: [0.0])
    network: FakeNetwork = field(factory=office)
    mesh: FakeMesh = field(init=False)
    control: Control = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.mesh = FakeMesh()
        self.control = control_of(self.mesh, lambda: self.now[0])
        self.mesh.join(self.network)

    def client(self) -> tuple[Client, Sink]:
        sink = Sink()
        return self.control.connect(sink), sink

    def register(self, client: Client, method: str = "m", *, streaming: bool = False, alias: str = WIRE) -> None:
        RpcRegister(ClientId(client.number), alias, method, streaming).answer(self.control)

    def unregister(self, client: Client, method: str = "m", *, alias: str = WIRE) -> bool:
        answer = RpcUnregister(ClientId(client.number), alias, method).answer(self.control)
        released: bool = json.loads(answer)["data"]["released"]
        return released

    def respond(self, request_id: str, ok: bytes | None = None, error: str | None = None) -> None:
        raw = UNSET if ok is None else Raw(ok)
        RpcRespond(request_id, raw, error).answer(self.control)

    def chunk(self, request_id: str, payload: bytes) -> dict[str, Any] | None:
        reply = Reply()
        RpcStreamChunk(request_id, Raw(payload)).begin(self.control, reply)
        return None if reply.line is None else json.loads(reply.line)

    def end(self, request_id: str, error: str | None = None) -> bool:
        answer = RpcStreamEnd(request_id, error).answer(self.control)
        closed: bool = json.loads(answer)["data"]["closed"]
        return closed

    def subscribe(self, client: Client, channel: str = "cat", *, alias: str = WIRE) -> None:
        ChannelSubscribe(ClientId(client.number), alias, channel).answer(self.control)

    def unsubscribe(self, client: Client, channel: str = "cat", *, alias: str = WIRE) -> None:
        ChannelUnsubscribe(ClientId(client.number), alias, channel).answer(self.control)


@pytest.fixture
def world() -> World:
    return World()


# ── calls ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_call_goes_to_the_client_that_claims_the_method_and_its_answer_comes_back(world: World) -> None:
    client, sink = world.client()
    world.register(client, alias=ALIAS)
    call = world.network.receive_call("abcdefghijklmnopqrst", "m", b'{"q":"hi"}', streaming=True)
    assert sink.frames == [
        {
            "kind": "rpc_inbound",
            "network": ALIAS,
            "from": PEER,
            "request_id": "abcdefghijklmnopqrst",
            "method": "m",
            "payload": {"q": "hi"},
            "streaming": True,
        }
    ]
    world.respond("abcdefghijklmnopqrst", b'{"n":1}')
    assert call.answers == [("response", b'{"n":1}', None)]
    with pytest.raises(MeshError, match="no in-flight inbound RPC for 'abcdefghijklmnopqrst'"):
        world.respond("abcdefghijklmnopqrst", b"1")


def test_an_error_wins_over_a_result_and_neither_is_null(world: World) -> None:
    client, _ = world.client()
    world.register(client)
    first, second = world.network.receive_call("a", "m"), world.network.receive_call("b", "m")
    world.respond("a", b"1", "busy")
    world.respond("b")
    assert first.answers == [("response", None, "busy")]
    assert second.answers == [("response", None, None)]


def test_a_payload_with_line_feeds_stays_one_line(world: World) -> None:
    client, sink = world.client()
    world.register(client)
    world.subscribe(client)
    world.network.receive_call("a", "m", b'{\n"q":\r\n1}')
    world.network.receive("cat", b"[1,\n2]")
    assert [frame["payload"] for frame in sink.frames] == [{"q": 1}, [1, 2]]


def test_an_answer_too_large_fails_for_both_sides(world: World) -> None:
    client, _ = world.client()
    world.register(client)
    call = world.network.receive_call("a", "m")
    with pytest.raises(MeshError, match="transport: frame of 70000 bytes exceeds the 65535-byte limit"):
        world.respond("a", b"1" * 70_000)
    assert call.answers == [("response", None, "transport: frame of 70000 bytes exceeds the 65535-byte limit")]
    assert len(world.control.calls) == 0


def test_the_owner_streams_chunks_and_an_end(world: World) -> None:
    client, _ = world.client()
    world.register(client, streaming=True)
    call = world.network.receive_call("a", "m", streaming=True)
    assert world.chunk("a", b"1") == {"ok": True, "data": {"delivered": True}}
    assert world.chunk("a", b"null") == {"ok": True, "data": {"delivered": True}}
    assert world.end("a") is True
    assert call.answers == [("chunk", b"1"), ("chunk", b"null"), ("end", None)]
    assert world.end("a") is False
    assert world.chunk("a", b"3") == {"ok": False, "error": "no in-flight inbound stream for 'a'"}


def test_the_error_of_a_stream_end_reaches_the_caller(world: World) -> None:
    client, _ = world.client()
    world.register(client, streaming=True)
    call = world.network.receive_call("a", "m")
    assert world.end("a", "out of memory") is True
    assert call.answers == [("end", "out of memory")]


def test_a_chunk_waits_while_the_link_is_full(world: World) -> None:
    client, _ = world.client()
    world.register(client, streaming=True)
    call = world.network.receive_call("a", "m", link_full=True)
    reply = Reply()
    RpcStreamChunk("a", Raw(b"1")).begin(world.control, reply)
    assert reply.line is None
    call.blocked.pop()(None)
    assert reply.line == b'{"ok":true,"data":{"delivered":true}}\n'


def test_a_chunk_too_large_ends_the_stream_with_its_error(world: World) -> None:
    client, _ = world.client()
    world.register(client, streaming=True)
    call = world.network.receive_call("a", "m")
    refusal = "transport: frame of 70000 bytes exceeds the 65535-byte limit"
    assert world.chunk("a", b"1" * 70_000) == {"ok": False, "error": refusal}
    assert call.answers == [("end", refusal)]
    assert world.end("a") is False


def test_answering_in_the_wrong_mode(world: World) -> None:
    client, _ = world.client()
    world.register(client, "single")
    world.register(client, "stream", streaming=True)
    single = world.network.receive_call("s", "single", streaming=True)
    stream = world.network.receive_call("t", "stream")
    assert world.chunk("s", b"1") == {"ok": False, "error": "no in-flight inbound stream for 's'"}
    assert world.end("s") is False
    assert single.answers == [("response", None, "IPC handler dropped without responding")]
    with pytest.raises(MeshError, match="no in-flight inbound RPC for 't'"):
        world.respond("t", b"1")
    assert stream.answers == [("end", None)], "the stream is destroyed; its caller sees a clean end"
    assert world.chunk("t", b"1") == {"ok": False, "error": "no in-flight inbound stream for 't'"}


def test_any_client_may_answer_once(world: World) -> None:
    owner, _ = world.client()
    world.client()
    world.register(owner)
    call = world.network.receive_call("a", "m")
    world.respond("a", b"1")
    assert call.answers == [("response", b"1", None)]


def test_the_last_claim_wins_and_the_previous_owner_is_told(world: World) -> None:
    first, first_sink = world.client()
    second, second_sink = world.client()
    world.register(first, alias=ALIAS)
    in_flight = world.network.receive_call("a", "m")
    world.register(second, alias=WIRE)
    assert first_sink.frames[1:] == [{"kind": "handler_displaced", "network": ALIAS, "method": "m", "by": second.name}]
    world.network.receive_call("b", "m")
    assert [frame["request_id"] for frame in second_sink.frames] == ["b"]
    assert second_sink.frames[0]["network"] == WIRE
    world.respond("a", b"1")
    assert in_flight.answers == [("response", b"1", None)], "calls in flight may still be finished"


def test_a_client_may_claim_again_and_change_the_mode(world: World) -> None:
    client, sink = world.client()
    world.register(client)
    world.register(client, streaming=True)
    call = world.network.receive_call("a", "m")
    assert world.end("a") is True
    assert call.answers == [("end", None)]
    assert [frame["kind"] for frame in sink.frames] == ["rpc_inbound"]
    assert world.network.handlers["m"][1] is True


def test_after_a_claim_is_released_callers_hear_that_nobody_holds_the_method(world: World) -> None:
    client, _ = world.client()
    world.register(client, "single", alias=ALIAS)
    world.register(client, "stream", streaming=True)
    assert world.unregister(client, "single", alias=ALIAS) is True
    assert world.unregister(client, "single", alias=ALIAS) is False
    world.control.disconnect(client)
    single = world.network.receive_call("a", "single")
    stream = world.network.receive_call("b", "stream")
    assert single.answers == [("response", None, f"no IPC client holds method 'single' on '{ALIAS}'")]
    assert stream.answers == [("end", "no IPC client holds streaming method 'stream' on 'office-mesh'")]


def test_a_claim_is_released_under_either_name_but_only_by_its_owner(world: World) -> None:
    owner, _ = world.client()
    other, _ = world.client()
    world.register(owner, alias=ALIAS)
    assert world.unregister(other) is False
    assert world.unregister(owner, alias=WIRE) is True
    assert world.unregister(owner, alias="nope") is False


def test_calls_of_a_client_that_goes_away_fail_at_once(world: World) -> None:
    client, _ = world.client()
    world.register(client, "single")
    world.register(client, "stream", streaming=True)
    calls = [world.network.receive_call("a", "single"), world.network.receive_call("b", "stream")]
    world.control.disconnect(client)
    assert [call.answers for call in calls] == [[("response", None, OWNER_GONE)], [("end", OWNER_GONE)]]
    assert len(world.control.calls) == 0


def test_a_call_whose_owner_overflows_on_it_fails_too(world: World) -> None:
    class Stuck(Sink):
        def direct(self, line: bytes) -> None:
            world.control.disconnect(client)

    client = world.control.connect(Stuck())
    world.register(client)
    call = world.network.receive_call("a", "m")
    assert call.answers == [("response", None, OWNER_GONE)]


def test_a_call_whose_caller_is_gone_is_forgotten(world: World) -> None:
    client, _ = world.client()
    world.register(client)
    call = world.network.receive_call("a", "m")
    call.drop_link()
    assert len(world.control.calls) == 0
    with pytest.raises(MeshError, match="no in-flight inbound RPC for 'a'"):
        world.respond("a", b"1")


def test_two_peers_with_one_request_id_do_not_meet(world: World) -> None:
    client, sink = world.client()
    world.register(client)
    first = world.network.receive_call("same", "m")
    second = world.network.receive_call("same", "m", peer=THIRD)
    ids = [frame["request_id"] for frame in sink.frames]
    assert ids[0] == "same"
    assert ids[1] != "same"
    world.respond(ids[1], b"2")
    world.respond(ids[0], b"1")
    assert (first.answers, second.answers) == ([("response", b"1", None)], [("response", b"2", None)])


def test_a_call_that_nobody_ever_answers_is_given_up_in_the_end(world: World) -> None:
    client, _ = world.client()
    world.register(client)
    call = world.network.receive_call("a", "m")
    world.now[0] = FORGOTTEN_AFTER_S - 1
    world.control.calls.expire()
    assert not call.answers
    world.now[0] = FORGOTTEN_AFTER_S + 1
    world.control.calls.expire()
    assert call.answers == [("response", None, "not answered within 21600 s")]
    assert len(world.control.calls) == 0


def test_claims_and_subscriptions_come_back_with_their_network(world: World) -> None:
    client, sink = world.client()
    world.register(client, "by-wire", alias=WIRE)
    world.register(client, "by-record", alias=ALIAS)
    world.register(client, "given-up", alias=ALIAS)
    world.subscribe(client)
    world.mesh.leave(world.network)
    assert world.unregister(client, "given-up", alias=ALIAS) is True
    again = world.mesh.join(FakeNetwork("another-record", WIRE))
    assert set(again.handlers) == {"by-wire"}
    again.receive_call("a", "by-wire")
    again.receive("cat", b"1")
    assert [frame["kind"] for frame in sink.frames] == ["rpc_inbound", "channel_inbound"]
    old_record = world.mesh.join(FakeNetwork(ALIAS, "elsewhere"))
    assert set(old_record.handlers) == {"by-record"}


def test_what_a_gone_client_had_does_not_come_back(world: World) -> None:
    client, _ = world.client()
    world.register(client)
    world.subscribe(client)
    world.mesh.leave(world.network)
    world.control.disconnect(client)
    again = world.mesh.join(office())
    assert not again.handlers
    assert not any(again.listeners.values())


def test_ids_are_never_used_again(world: World) -> None:
    first, _ = world.client()
    world.control.disconnect(first)
    second, _ = world.client()
    assert (first.name, second.name) == ("c0", "c1")
    with pytest.raises(MeshError, match="unknown client_id: c0"):
        world.register(first)


# ── stream calls of ours ──────────────────────────────────────────────────────────────────────────────────────────────


def stream_call(world: World, client: Client, peer: str = PEER, payload: bytes = b'{"n":3}') -> str:
    request = RpcCallStream(ClientId(client.number), WIRE, peer, "count", Raw(payload))
    request_id: str = json.loads(request.answer(world.control))["data"]["request_id"]
    return request_id


def test_chunks_and_the_end_of_a_stream_call_arrive_as_frames(world: World) -> None:
    client, sink = world.client()
    assert stream_call(world, client) == "ipc-stream-0"
    on_chunk, on_end = world.network.streams[0]
    on_chunk(Raw(b'{"i":0}'))
    on_end(None)
    assert stream_call(world, client) == "ipc-stream-1"
    world.network.streams[1][1]("network down")
    assert sink.frames == [
        {"kind": "rpc_call_stream_chunk", "request_id": "ipc-stream-0", "payload": {"i": 0}},
        {"kind": "rpc_call_stream_end", "request_id": "ipc-stream-0", "error": None},
        {"kind": "rpc_call_stream_end", "request_id": "ipc-stream-1", "error": "network down"},
    ]


def test_a_stream_call_that_cannot_be_sent_fails(world: World) -> None:
    client, _ = world.client()
    with pytest.raises(MeshError, match="peer peer not found: nobody not in active set"):
        stream_call(world, client, "nobody")
    assert not client.streams


def test_stream_calls_end_with_their_client(world: World) -> None:
    client, _ = world.client()
    stream_call(world, client)
    stream_call(world, client)
    world.network.streams[0][1](None)
    world.control.disconnect(client)
    assert world.network.cancelled == 1, "only the one under way"


HEARS = b'{"features":["infer_request","stream_cancel_v1"]}'


@pytest.mark.parametrize(
    ("extra", "payload", "told"),
    [
        (HEARS, b'{"stream_id":"00ff","n":3}', True),
        (b'{"features":["infer_request"]}', b'{"stream_id":"00ff"}', False),
        (b'{"features":7}', b'{"stream_id":"00ff"}', False),
        (b'["stream_cancel_v1"]', b'{"stream_id":"00ff"}', False),
        (None, b'{"stream_id":"00ff"}', False),
        (HEARS, b'{"n":3}', False),
        (HEARS, b'{"stream_id":7}', False),
        (HEARS, b'["stream_id"]', False),
        (HEARS, b'{"x":{"stream_id":"00ff"}}', False),
        (HEARS, b'{"__blob":{"id":"a7","stream_id":"00ff"}}', True),
        (HEARS, b'{"__blob":{"id":"a7"}}', False),
        (HEARS, b'{"__blob":["stream_id"]}', False),
    ],
)
def test_what_a_killed_program_asked_is_taken_back_from_hosts_that_hear_it(
    world: World, extra: bytes | None, payload: bytes, told: bool
) -> None:
    """Spec 08 FE-9.7, for a program that cannot say it any more."""
    advert = None if extra is None else CapabilityAdvert(extra=Raw(extra))
    world.network.peer_infos = [PeerInfo(device_id=PEER, status="active", capabilities=advert)]
    client, _ = world.client()
    stream_call(world, client, payload=payload)
    stream_call(world, client, payload=payload)
    world.network.streams[1][1](None)
    single = Reply()
    call = RpcCall(WIRE, f"{PEER}-0A1B2", "file_offer", Raw(payload))
    call.begin(world.control, single)
    assert single.abandon is not None
    assert world.network.sent == []
    world.control.disconnect(client)
    single.abandon()
    assert world.network.cancelled == 2
    cancel = ("rpc/cancel", b'{"stream_id":"00ff"}')
    assert world.network.sent == ([(PEER, *cancel), (f"{PEER}-0A1B2", *cancel)] if told else [])


def test_a_daemon_that_stops_takes_back_what_runs(world: World) -> None:
    advert = CapabilityAdvert(extra=Raw(HEARS))
    world.network.peer_infos = [PeerInfo(device_id=PEER, status="active", capabilities=advert)]
    client, _ = world.client()
    stream_call(world, client, payload=b'{"stream_id":"00ff"}')
    world.control.take_back_streams()
    world.control.disconnect(client)
    assert world.network.sent == [(PEER, "rpc/cancel", b'{"stream_id":"00ff"}')], "once"


def test_a_host_that_is_away_is_not_told(world: World) -> None:
    world.network.peer_infos = []
    client, _ = world.client()
    stream_call(world, client, payload=b'{"stream_id":"00ff"}')
    world.control.disconnect(client)
    assert world.network.sent == []


# ── channels ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_frame_reaches_every_subscriber_once_under_the_name_each_used(world: World) -> None:
    one, one_sink = world.client()
    two, two_sink = world.client()
    world.subscribe(one, alias=ALIAS)
    world.subscribe(one, alias=ALIAS)
    world.subscribe(two)
    world.network.receive("cat", b'{"hello":"from bob"}')
    frame = {"kind": "channel_inbound", "from": PEER, "channel": "cat", "payload": {"hello": "from bob"}}
    assert one_sink.frames == [{**frame, "network": ALIAS}]
    assert two_sink.frames == [{**frame, "network": WIRE}]


def test_unsubscribing_and_subscribing_again_does_not_double_frames(world: World) -> None:
    client, sink = world.client()
    for _ in range(3):
        world.subscribe(client)
        world.unsubscribe(client, alias=ALIAS)
    world.subscribe(client)
    world.network.receive("cat", b"1")
    assert len(sink.frames) == 1
    assert len(world.network.listeners["cat"]) == 1


def test_the_last_subscriber_takes_the_listener_along(world: World) -> None:
    one, _ = world.client()
    two, _ = world.client()
    world.subscribe(one)
    world.subscribe(two)
    world.unsubscribe(one)
    world.unsubscribe(one)
    world.unsubscribe(one, alias="nope")
    assert len(world.network.listeners["cat"]) == 1
    world.control.disconnect(two)
    assert not world.network.listeners["cat"]


def test_a_subscriber_that_goes_away_during_a_frame_does_not_disturb_the_others(world: World) -> None:
    class Leaving(Sink):
        def direct(self, line: bytes) -> None:
            world.control.disconnect(first)

    first = world.control.connect(Leaving())
    second, sink = world.client()
    world.subscribe(first)
    world.subscribe(second)
    world.network.receive("cat", b"1")
    assert len(sink.frames) == 1


def test_names_with_quotes_survive(world: World) -> None:
    client, sink = world.client()
    world.subscribe(client, 'a"b\\c\né')
    world.register(client, 'm"\\')
    world.network.receive('a"b\\c\né', b"1")
    world.network.receive_call('id"', 'm"\\')
    assert sink.frames[0]["channel"] == 'a"b\\c\né'
    assert sink.frames[1]["method"] == 'm"\\'
    assert sink.frames[1]["request_id"] == 'id"'


def test_client_names() -> None:
    assert client_name(7) == "c7"


def test_a_reply_is_given_once() -> None:
    reply = Reply()
    seen: list[bytes] = []
    reply.deliver = seen.append
    reply.send(b"1")
    reply.send(b"2")
    assert seen == [b"1"]
